/**
 * The commands of README.md and docs/cli.md, typed as written. In ```sh blocks, every line that begins with `npx parscale`
 * or `printf` is run, in order, and must exit with 0. Left out is what a clean clone cannot run: `pull`, what names a
 * model of the hub or a file under `.cache/`, and a conversation with nobody at the terminal.
 */
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codeBlocks, readDocument } from './support/markdown.ts'
import { fromSource, openShell, type Shell } from './support/shell.ts'

/** Models that need the hub or a download: `.cache/smollm2/...`, `ParScale/...`, `Qwen/...`. */
const needsMore = /\bparscale pull\b|(^|\s)(\.cache\/|(ParScale|Qwen|ORG)\/)|\bparscale chat\b(?!.*--message)/

const commandsIn = (code: string): string[] =>
  code
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter((line) => /^(npx parscale|printf)\b/.test(line) && !needsMore.test(line))

describe.concurrent.each(['README.md', 'docs/cli.md'])('%s', (document) => {
  const blocks = codeBlocks(readDocument(document))
    .filter(({ language }) => language === 'sh')
    .map(({ code }) => commandsIn(code))
    .filter((commands) => commands.length > 0)
  let shell: Shell
  beforeAll(() => {
    shell = openShell()
  })
  afterAll(() => shell.close())

  // A block may use what an earlier line of it has made.
  it.each(blocks.map((commands) => [commands[0]!, commands] as const))('%s and what follows it', async (_, commands) => {
    for (const command of commands) {
      const { code, stderr } = await shell.runLine(command)
      expect(code, `${command}\n${stderr}`).toBe(0)
    }
  })
})

it('the program of README.md prints what is said there', async () => {
  const blocks = codeBlocks(readDocument('README.md'))
  const at = blocks.findIndex(({ language }) => language === 'ts')
  const shell = openShell()
  try {
    const program = ['--input-type=module', '--eval', blocks[at]!.code]
    const { code, stdout, stderr } = await shell.run(process.execPath, [...fromSource, ...program])
    expect([code, stderr, `${stdout}\n`]).toEqual([0, '', blocks[at + 1]!.code])
  } finally {
    shell.close()
  }
})

it('README.md says within its first lines what this is, how to run it, and where the idea stands', () => {
  const lines = readDocument('README.md').split('\n')
  const first = lines.slice(0, 31).join('\n')
  for (const part of [
    '](docs/pictures/streams.svg)',
    'npm ci && npm start',
    '```ts',
    '```text',
    'model/parscale.ts)',
    'decoder.ts)',
    'engine.ts)',
  ])
    expect(first).toContain(part)
  expect(lines.length).toBeLessThan(130)
})
