export declare const prebuiltPackages: readonly string[]
export declare const prebuiltPaths: () => readonly string[]
export declare const toCompile: string
export declare const compiledPath: string
export declare const modulePaths: () => readonly string[]
