export declare function prebuild(platform: string, into: string, compiler?: 'zig' | 'system'): Promise<string>
