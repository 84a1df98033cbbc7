/** What is said to common mistakes: docs/mistakes.md is printed from it. Each has a next step, and one line that a person understands. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { byteModel } from '../../core/src/testing/fixtures.ts'
import { foreignCommands } from './commands/foreign-commands.ts'
import { foreignFlags } from './commands/foreign-flags.ts'
import type { Finished } from './testing/cli.ts'
import { mistakes, wordsOf } from './testing/mistakes.ts'
import { runHere } from './testing/run-here.ts'

const page = fileURLToPath(new URL('../../../docs/mistakes.md', import.meta.url))
const typed = Object.values(mistakes).flat()
const results = new Map<string, Finished>()

let folder: string
const before = process.cwd()
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-mistakes-'))
  cpSync(byteModel, join(folder, 'model'), { recursive: true })
  mkdirSync(join(folder, 'empty'))
  writeFileSync(join(folder, 'notes.txt'), 'Call me Ishmael.\n')
  process.chdir(folder)
  const env = { HF_HOME: join(folder, 'hub'), PARSCALE_CACHE: join(folder, 'cache'), HF_HUB_OFFLINE: '1' }
  for (const line of typed) results.set(line, await runHere(wordsOf(line), env))
})
afterAll(() => {
  process.chdir(before)
  rmSync(folder, { recursive: true })
})

/** Without the line that says which model ships. */
const said = (line: string): string =>
  results
    .get(line)!
    .stderr.replaceAll(folder, '.')
    .replace(/^model: .*\n/, '')

it('are at least sixty', () => {
  expect(new Set(typed).size).toBe(typed.length)
  expect(typed.length).toBeGreaterThanOrEqual(60)
})

it.each(typed)('parscale %s', (line) => {
  const { code, stdout } = results.get(line)!
  expect(code, said(line)).toBeGreaterThanOrEqual(2)
  expect(code).toBeLessThanOrEqual(5)
  const [first = '', ...rest] = said(line).trimEnd().split('\n')
  expect(first).toMatch(/^parscale: /)
  // At most the hint at --help follows.
  expect(rest.filter((each) => !/^\(parscale.* --help shows .*\)$/.test(each))).toEqual([])
  // Nothing of the machine: no error numbers, no stack, no paths of ours.
  expect(first).not.toMatch(/\bE[A-Z]{4,}\b|\n\s+at |node_modules|undefined|\[object/)
  // The next step: something to type, or to choose from.
  expect(first).toMatch(
    /parscale \w|--\w|did you mean|there (is|are) |it has |such as|name |expected |leave|choose|set |must be|put |has |use |needs /,
  )
  if (!line.includes('--json')) expect(stdout).toBe('')
})

it('of a model that is not there have one exit code', () => {
  for (const line of mistakes.Models!.filter((each) => /^(generate|inspect) /.test(each) && each !== 'generate hello world'))
    expect(results.get(line)!.code, line).toBe(3)
})

it('with --json are data, too', () => {
  const { stdout, code, stderr } = results.get('inspect nope --json')!
  const { error } = JSON.parse(stdout)
  expect(error).toEqual({ kind: 'checkpoint', exitCode: code, message: stderr.replace(/^parscale: /, '').trimEnd() })
})

it('stand in docs/mistakes.md', async () => {
  const sections = Object.entries(mistakes).map(([title, lines]) => {
    const rows = lines.map((line) => {
      const [first = ''] = said(line).split('\n')
      const cell = first
        .replace(/^parscale: /, '')
        .replaceAll('|', '\\|')
        .replaceAll('<', '\\<')
      return `| \`parscale ${line}\` | ${cell} | ${results.get(line)!.code} |\n`
    })
    return `## ${title}\n\n| typed | said | exit code |\n|---|---|---|\n${rows.join('')}`
  })
  const head = [
    '# Common mistakes\n\n',
    `What the command line says to ${typed.length} common mistakes, on stderr after \`parscale:\`. Where the line itself was refused, a second line names\n`,
    'the help. With `--json` the same is data on stdout: `{ "error": { "kind", "exitCode", "message" } }`. Exit codes: [cli.md](cli.md#common-ground).\n\n',
    'This page is printed by [its test](../packages/parscale/src/mistakes.test.ts): `npx vitest run packages/parscale/src/mistakes.test.ts --update`.\n\n',
  ]
  await expect([head.join('') + sections.join('\n'), foreignSection()].join('\n')).toMatchFileSnapshot(page)
})

/** The whole table, of which the lines above are a part. */
function foreignSection(): string {
  const code = (names: readonly string[]) => names.map((name) => `\`${name}\``).join(', ')
  const commandRows = foreignCommands.map(
    ({ names, from, instead }) => `| ${code(names)} | ${from} | ${instead.replaceAll('|', '\\|')} |`,
  )
  const flagRows = foreignFlags.map(({ names, from, flags = [], note }) => {
    const advice = [...(flags.length > 0 ? [code(flags)] : []), ...(note ? [note] : [])].join('; ')
    return `| ${code(names)} | ${from} | ${advice.replaceAll('|', '\\|')} |`
  })
  return [
    '## Names of other tools\n',
    'What is said to a command or an option that another tool has. Where an option differs by spelling only (`--top_p`, `--maxTokens`), ours is named as well.\n',
    '| command | of | here |\n|---|---|---|',
    ...commandRows,
    '\n| option | of | here |\n|---|---|---|',
    ...flagRows,
    '',
  ].join('\n')
}
