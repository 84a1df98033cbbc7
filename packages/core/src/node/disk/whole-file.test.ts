import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileSink, writeWholeFile } from './whole-file.ts'

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
  const device = await open('/dev/full', 'w')
  const writing = writeWholeFile(path, async (sink) => {
    await sink.write(bytes('two'))
    await fileSink(device).write(bytes('and more than there is room for'))
  })
  await expect(writing.finally(() => device.close())).rejects.toMatchObject({
    kind: 'resource',
    message: `${path}: the disk is full; free some space and run the command again`,
  })
  expect(await readFile(path, 'utf8')).toBe('one')
  expect(await readdir(scratch)).toEqual(['a.json'])
})
