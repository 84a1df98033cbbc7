/** The configuration file: TOML, shared keys first, then a table for each command. Read only where there is one. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { CommandUnknownOpts as Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { platformConfig } from '../home-folder.ts'
import { didYouMean, nearestNames } from '../terminal/nearest.ts'
import { whyUnread } from '../terminal/why-unread.ts'

export interface ConfigValue {
  readonly option: Option
  readonly key: string
  readonly value: unknown
  /** File and line, for messages. */
  readonly where: string
}

export interface ConfigFile {
  readonly path: string
  /** What it sets for a command. @throws usage error for a key that neither the command nor its shared keys have */
  valuesFor(name: string, command: Command, shared: readonly string[]): ConfigValue[]
}

/** PARSCALE_CONFIG, else config.toml in the platform's folder. Undefined where the user has no home: nobody can have put one there. */
export function configPath(env: NodeJS.ProcessEnv): string | undefined {
  if (env.PARSCALE_CONFIG) return env.PARSCALE_CONFIG
  try {
    return join(platformConfig(env), 'config.toml')
  } catch {
    return undefined
  }
}

/** The key of an option: its name without dashes before it; of `--no-x`, x. */
export const keyOf = (option: Option): string => (option.negate ? option.attributeName() : option.name())

/** Undefined where there is none. @throws usage error for one that cannot be read, or is not TOML */
export async function readConfig(env: NodeJS.ProcessEnv): Promise<ConfigFile | undefined> {
  const path = configPath(env)
  if (path === undefined) return undefined
  const text = await readFile(path, 'utf8').catch(async (error: NodeJS.ErrnoException) => {
    // Of a folder that one may not search, as in a container with another user's HOME, nobody knows whether there is one.
    if (!env.PARSCALE_CONFIG && (await stat(path).catch(() => undefined)) === undefined) return undefined
    throw usageError(`${path}: ${whyUnread(error)}; it is the configuration file (PARSCALE_CONFIG)`, { file: path, cause: error })
  })
  if (text === undefined) return undefined
  const { parse, TomlError } = await import('smol-toml')
  try {
    const content = parse(text)
    return { path, valuesFor: (name, command, shared) => valuesFor({ path, text, content }, name, command, shared) }
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const why = error.message.split('\n')[0]!.replace(/^Invalid TOML document: /, '')
    throw usageError(`${path}, line ${error.line}: is not TOML: ${why}`, { file: path, cause: error })
  }
}

interface Parsed {
  readonly path: string
  readonly text: string
  readonly content: Readonly<Record<string, unknown>>
}

function valuesFor({ path, text, content }: Parsed, name: string, command: Command, shared: readonly string[]): ConfigValue[] {
  const program = command.parent?.parent ?? command.parent
  const tables = (program?.commands ?? []).map((each) => each.name())
  const optionOf = (key: string) => command.options.find((option) => spelled(keyOf(option)) === spelled(key))
  const at = (key: string, table?: string) => `${path}, line ${lineOf(text, key, table)}`
  const values: ConfigValue[] = []
  for (const [key, value] of Object.entries(content)) {
    if (isTable(value)) {
      if (!tables.includes(key))
        throw usageError(`${at(key)}: there is no command ${key}${didYouMean(nearestNames(key, tables))}`, {
          file: path,
          found: key,
        })
      continue
    }
    if (!shared.includes(spelled(key))) {
      const near = nearestNames(key, shared)
      const advice =
        near.length > 0 ? didYouMean(near) : `; there are ${shared.join(', ')}, and tables such as [generate] for all others`
      throw usageError(`${at(key)}: there is no key ${key} for all commands${advice}`, { file: path, found: key })
    }
    const option = optionOf(key)
    if (option) values.push({ option, key, value, where: at(key) })
  }
  const table = content[name]
  for (const [key, value] of Object.entries(isTable(table) ? table : {})) {
    const option = optionOf(key)
    if (!option) {
      const near = nearestNames(key, command.options.map(keyOf))
      throw usageError(`${at(key, name)}: ${name} has no option ${key}${didYouMean(near)} (parscale ${name} --help lists them)`, {
        file: path,
        found: key,
      })
    }
    // Goes before the shared value of the same option.
    values.unshift({ option, key, value, where: at(key, name) })
  }
  return values.filter(({ option }, i) => values.findIndex((each) => each.option === option) === i)
}

const spelled = (key: string): string => key.replaceAll('_', '-')
const isTable = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)

/** The parser gives no places. Searched as the keys of this file are written; 1 where it is written otherwise. */
function lineOf(text: string, key: string, table?: string): number {
  let current: string | undefined
  for (const [i, line] of text.split('\n').entries()) {
    const [, header] = /^\s*\[\s*"?([\w-]+)"?\s*\]/.exec(line) ?? []
    if (header !== undefined) {
      if (header === key && table === undefined) return i + 1
      current = header
    }
    const [, found] = /^\s*"?([\w-]+)"?\s*[=.]/.exec(line) ?? []
    if (found === key && current === table) return i + 1
  }
  return 1
}
