/** Options that every command has, and where values come from that no flag gives: the environment, then the configuration file. */

import { type CommandUnknownOpts as AnyCommand, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'

import type { Io } from '../terminal/io.ts'
import type { Loudness } from '../terminal/loudness.ts'
import { readConfig } from './config-file.ts'

const quietOption = new Option('-q, --quiet', 'results and failures only, no other talk (env: PARSCALE_QUIET)')
  .helpGroup('Options of every command:')
  .conflicts('verbose')
const verboseOption = new Option('-v, --verbose', 'say what was chosen, and what it took (env: PARSCALE_VERBOSE)').helpGroup(
  'Options of every command:',
)

/** Keys of the configuration file that stand above all tables: each command takes those that it has. */
export const sharedKeys = ['device', 'engine', 'threads', 'quiet', 'verbose'] as const

/** Adds them to a command, or to those below it. */
export function addGeneralOptions(command: AnyCommand): void {
  if (command.commands.length > 0) for (const each of command.commands) addGeneralOptions(each)
  else command.addOption(quietOption).addOption(verboseOption)
}

/**
 * Values that neither flags nor the environment have set, from the configuration file; then how loud the command is.
 *
 * @throws usage error that names file, line and nearest key
 */
export async function applySettings(command: AnyCommand, name: string, io: Io, loudness: Loudness): Promise<void> {
  const config = await readConfig(io.env)
  if (config) {
    for (const { option, key, value, where } of config.valuesFor(name, command, sharedKeys)) {
      const source = command.getOptionValueSource(option.attributeName())
      if (source !== undefined && source !== 'default') continue
      command.setOptionValueWithSource(option.attributeName(), parsed(option, value, `${where}: ${key}`), 'config')
    }
  }
  const flags = command.opts() as { quiet?: boolean; verbose?: boolean }
  const asked = (flag: 'quiet' | 'verbose') => {
    if (command.getOptionValueSource(flag) === 'cli') return true
    const variable = io.env[`PARSCALE_${flag.toUpperCase()}`]
    return variable ? variable !== '0' : flags[flag] === true
  }
  loudness.quiet = asked('quiet') && command.getOptionValueSource('verbose') !== 'cli'
  loudness.verbose = asked('verbose') && !loudness.quiet
  if (config) io.detail?.(`configuration: ${config.path}\n`)
}

/** As the command line reads it; a list is an option given several times. @throws usage error that begins with `where` */
export function parsed(option: Option, value: unknown, where: string): unknown {
  const expected = (what: string) => usageError(`${where}: expected ${what}, got ${JSON.stringify(value)}`, { found: value })
  if (option.isBoolean() || option.negate) {
    if (typeof value !== 'boolean') throw expected('true or false')
    return value
  }
  const values = Array.isArray(value) ? value : [value]
  if (values.length === 0 || values.some((each) => typeof each === 'object' || typeof each === 'boolean'))
    throw expected('a number or a text')
  try {
    const texts = values.map((each) => String(each))
    if (!option.parseArg) return texts[0]
    return texts.reduce<unknown>((before, text) => option.parseArg!(text, before as never), undefined)
  } catch (error) {
    throw usageError(`${where} = ${JSON.stringify(value)}: ${(error as Error).message.replace(/\.$/, '')}`, {
      found: value,
      cause: error,
    })
  }
}
