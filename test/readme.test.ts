/**
 * The commands of README.md and docs/cli.md, typed as written. In ```sh blocks, every line that begins with `npx parscale`
 * or `printf` is run, in order, and must exit with 0. Left out is what a clean clone cannot run: `pull`, what names a
 * model of the hub or a file under `.cache/`, and a conversation with nobody at the terminal.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { codeBlocks, readDocument } from './support/markdown.ts'
import { openShell, type Shell } from './support/shell.ts'

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
  it.each(blocks.map((commands) => [commands[0]!, commands] as const))(
    '%s and what follows it',
    async (_, commands) => {
      for (const command of commands) {
        const { code, stderr } = await shell.runLine(command)
        expect(code, `${command}\n${stderr}`).toBe(0)
      }
    },
    120_000,
  )
})
