import { execFileSync } from 'node:child_process'
import { lstat, mkdtemp, open, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
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

test('a link stays a link, and the file that it leads to is replaced', async () => {
  await writeFile(join(scratch, 'file'), 'one')
  await symlink('file', join(scratch, 'link'))
  await writeWholeFile(join(scratch, 'link'), 'two')
  expect((await lstat(join(scratch, 'link'))).isSymbolicLink()).toBe(true)
  expect(await readFile(join(scratch, 'file'), 'utf8')).toBe('two')
  expect((await readdir(scratch)).sort()).toEqual(['file', 'link'])
})

test.runIf(process.platform === 'linux')('pipes and devices are written to, not replaced', async () => {
  const pipe = join(scratch, 'pipe')
  execFileSync('mkfifo', [pipe])
  const [read] = await Promise.all([readFile(pipe, 'utf8'), writeWholeFile(pipe, 'text')])
  expect(read).toBe('text')
  expect((await lstat(pipe)).isFIFO()).toBe(true)
  expect(await readdir(scratch)).toEqual(['pipe'])
  await expect(writeWholeFile('/dev/full', 'text')).rejects.toMatchObject({
    kind: 'resource',
    message: '/dev/full: the disk is full; free some space and run the command again',
  })
  expect((await lstat('/dev/full')).isCharacterDevice()).toBe(true)
})
