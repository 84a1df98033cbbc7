export declare function prebuiltName(arch?: string): string
export declare const prebuiltPath: string
export declare const modulePaths: readonly string[]
