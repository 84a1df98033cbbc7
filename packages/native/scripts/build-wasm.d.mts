export const variants: Readonly<Record<string, readonly string[]>>
export function buildWasm(into: string, zig?: string): void
