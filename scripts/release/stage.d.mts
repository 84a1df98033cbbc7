/** Writes one package as it is published into `into`/`name`. Gives its folder. */
export function stage(name: string, into: string): Promise<string>
