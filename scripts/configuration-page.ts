/**
 * Prints docs/configuration.md and the man page from the definitions of the commands.
 *
 *     npx tsx --conditions=source scripts/configuration-page.ts      writes both
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { programFor } from '../packages/parscale/src/cli.ts'
import { configurationPage } from '../packages/parscale/src/commands/configuration-page.ts'
import { describeProgram } from '../packages/parscale/src/commands/describe-program.ts'
import { manPage } from '../packages/parscale/src/commands/man-page.ts'
import { packageVersion } from '../packages/parscale/src/package-files.ts'
import type { Io } from '../packages/parscale/src/terminal/io.ts'

const root = fileURLToPath(new URL('..', import.meta.url))

/** The pages by their paths. */
export async function printedPages(): Promise<Map<string, string>> {
  const rows = describeProgram(await programFor([], { env: {} } as Io, true))
  return new Map([
    [`${root}docs/configuration.md`, configurationPage(rows)],
    [`${root}packages/parscale/man/parscale.1`, manPage(rows, packageVersion())],
  ])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of await printedPages()) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text)
  }
}
