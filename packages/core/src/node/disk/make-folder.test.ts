import { existsSync } from 'node:fs'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { makeFolder } from './make-folder.ts'
import { writeModelFolder } from './write-folder.ts'

let scratch: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
})
afterEach(() => rm(scratch, { recursive: true }))

it('makes a folder with those above it, several times and at once', async () => {
  const folder = join(scratch, 'a', 'b', 'c')
  await Promise.all(Array.from({ length: 8 }, () => makeFolder(folder)))
  await makeFolder(folder)
  expect((await stat(folder)).isDirectory()).toBe(true)
})

it('folders that others make meanwhile, at any depth, are no error', async () => {
  for (let round = 0; round < 100; round++) {
    const paths = Array.from({ length: 8 }, (_, i) => join(scratch, `${round}`, ...'abcd'.slice(0, 1 + (i % 4)).split('')))
    await Promise.all(paths.map(makeFolder))
  }
})

it.each(['file', 'file/below'])('a file in the way is said: %s', async (name) => {
  await writeFile(join(scratch, 'file'), '')
  await expect(makeFolder(join(scratch, name))).rejects.toMatchObject({ code: 'ENOTDIR' })
})

it.runIf(existsSync('/proc/self'))('where the system makes no folders there is an error, and an end', async () => {
  await expect(makeFolder('/proc/parscale/a')).rejects.toMatchObject({ code: 'ENOENT' })
  await expect(writeModelFolder('/proc/parscale/a', { files: new Map(), tensors: [] })).rejects.toMatchObject({
    kind: 'usage',
    message: '/proc/parscale/a: cannot be written (ENOENT); choose another folder',
  })
})
