/** The table of other tools' names leads only to what is there. */
import { expect, it } from 'vitest'
import { programFor } from '../cli.ts'
import type { Io } from '../terminal/io.ts'
import { describeProgram } from './describe-program.ts'
import { foreignCommands } from './foreign-commands.ts'
import { foreignFlags } from './foreign-flags.ts'

const rows = describeProgram(await programFor([], { env: {} } as Io, true))
const names = new Set(rows.map(({ name }) => name.split(' ')[0]!))
const flagsOf = (command: string) =>
  rows.filter(({ name }) => name.split(' ')[0] === command).flatMap(({ options }) => options.flatMap((each) => each.names))

it.each(foreignFlags.map((row) => [row.names[0]!, row] as const))('%s', (_, { flags = [], at = [], note }) => {
  for (const flag of flags)
    expect([...names].some((name) => flagsOf(name).includes(flag)) || flag === '--version', flag).toBe(true)
  for (const command of at) expect(flagsOf(command), command).toContain(flags[0])
  expect(flags.length > 0 || note !== undefined).toBe(true)
})

it.each(foreignCommands.map((row) => [row.names[0]!, row] as const))('%s', (_, { instead }) => {
  for (const [, command] of instead.matchAll(/parscale (\w+)/g)) expect(names).toContain(command)
  for (const [, flag] of instead.matchAll(/(--[\w-]+)/g))
    expect([...names].some((name) => flagsOf(name).includes(flag!)) || flag === '--version', flag).toBe(true)
})

it('names each foreign name once', () => {
  const all = [...foreignCommands.flatMap((row) => row.names)]
  expect(all.filter((name, i) => all.indexOf(name) !== i)).toEqual([])
})
