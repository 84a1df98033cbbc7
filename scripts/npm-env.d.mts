export type NpmEnvironment = 'node22' | 'clients' | 'codex' | 'pi' | 'langchain'
export function npmEnvironment(name: NpmEnvironment): string
export function node22(): string
