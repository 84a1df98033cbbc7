import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { writeWholeFile } from './whole-file.ts'

let scratch: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-whole-'))
})
afterEach(() => rm(scratch, { recursive: true }))

const bytes = (text: string) => new TextEncoder().encode(text)

test('makes a file, replaces one, and leaves nothing beside it', async () => {
  const path = join(scratch, 'a.json')
  await writeWholeFile(path, bytes('one, and longer'))
  await writeWholeFile(path, bytes('two'))
  expect(await readFile(path, 'utf8')).toBe('two')
  expect(await readdir(scratch)).toEqual(['a.json'])
})

// Linux' /dev/full is a disk without room: each write to it fails with ENOSPC.
test.runIf(process.platform === 'linux')('a full disk: the file is as it was, and the error names it', async () => {
  const path = join(scratch, 'a.json')
  await writeFile(path, 'one')
  await symlink('/dev/full', `${path}.partial`)
  await expect(writeWholeFile(path, bytes('two'))).rejects.toMatchObject({
    kind: 'resource',
    message: expect.stringContaining(`${path}: cannot be written (ENOSPC); free some space`),
  })
  expect(await readFile(path, 'utf8')).toBe('one')
  expect(await readdir(scratch)).toEqual(['a.json'])
})
