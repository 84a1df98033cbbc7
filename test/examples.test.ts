/** Programs in docs/library.md are the files in examples/, and print what the document says they print. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readDocument, root } from './support/markdown.ts'
import { fromSource, openShell, type Shell } from './support/shell.ts'

const document = readDocument('docs/library.md')
const files = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'))

/** A file's link, its code and its output, as the document shows them one after the other. */
function shown(file: string): { code: string | undefined; output: string | undefined } {
  const link = `](../examples/${file})`
  const section = document.slice(document.indexOf(link) + link.length)
  const [, code, output] = /^.*?```ts\n(.*?)```\n\n```text\n(.*?)```/s.exec(section) ?? []
  return document.includes(link) ? { code, output } : { code: undefined, output: undefined }
}

describe.concurrent('examples', () => {
  let shell: Shell
  beforeAll(() => {
    shell = openShell()
  })
  afterAll(() => shell.close())

  it.each(files)('%s stands in docs/library.md and prints what is said there', async (file) => {
    const { code, output } = shown(file)
    // The opening comment is the document's own prose.
    expect(code).toBe(readDocument(`examples/${file}`).replace(/^\/\*\*.*\*\/\n/, ''))
    const { code: exitCode, stdout, stderr } = await shell.run(process.execPath, [...fromSource, join(root, 'examples', file)])
    expect(stderr).toBe('')
    expect(exitCode).toBe(0)
    expect(stdout).toBe(output)
  })
})
