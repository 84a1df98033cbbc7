export declare function install(): Promise<string | undefined>
