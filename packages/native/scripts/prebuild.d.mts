export declare function prebuild(platform: string, into: string, compiler?: 'zig' | 'system'): Promise<string>
export declare function writePackage(platform: string, into: string, module: string): string
