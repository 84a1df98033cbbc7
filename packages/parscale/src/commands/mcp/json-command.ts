/** What a command prints with --json, in this process. */
import { Command, CommanderError } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import type { Io } from '../../terminal/io.ts'
import { isSaidAsData } from '../../terminal/said-as-data.ts'

type Register = (command: Command, io: Io) => void

/**
 * @param flags by the command's own names; undefined ones are left out
 * @param words its arguments, which may look like flags
 */
export async function jsonOfCommand(
  register: Register,
  flags: Readonly<Record<string, string | number | readonly (string | number)[] | undefined>>,
  words: readonly string[],
  io: Io,
): Promise<Record<string, unknown>> {
  let printed = ''
  const stdout = (text: string) => {
    printed += text
  }
  const command = new Command().exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {}, outputError: () => {} })
  register(command, { ...io, stdout })
  const given = Object.entries(flags).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}=${String(value)}`]))
  try {
    await command.parseAsync([...given, '--json', '--', ...words], { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) throw usageError(error.message.replace(/^error: /, ''))
    if (!isSaidAsData(error)) throw error
  }
  return JSON.parse(printed) as Record<string, unknown>
}
