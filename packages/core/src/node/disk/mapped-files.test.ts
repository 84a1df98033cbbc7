import { mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { mappedFiles } from './mapped-files.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-mapped-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

it('notices a file that was cut short, and none that was replaced or removed', () => {
  const [a, b] = [join(folder, 'a'), join(folder, 'b')]
  for (const path of [a, b]) writeFileSync(path, 'weights')
  const files = mappedFiles([a, b, a])
  files.mustBeWhole()
  writeFileSync(`${a}.new`, 'w')
  renameSync(`${a}.new`, a)
  rmSync(b)
  files.mustBeWhole()
  files.close()
  const cut = mappedFiles([a])
  truncateSync(a, 0)
  expect(() => cut.mustBeWhole()).toThrow(`${a}: was cut short while it was in use, from 1 to 0 bytes`)
  cut.close()
  expect(() => mappedFiles([join(folder, 'none')])).toThrow('ENOENT')
})
