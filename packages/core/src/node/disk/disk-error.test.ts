/** What everybody who writes says of a disk that is full or a place that cannot be written: real limits, real places. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { byteTokenizerFiles } from '../../tokenizer/index.ts'
import { openDataset } from '../documents/token-cache.ts'
import { cachedModelFolder } from '../models/model-cache.ts'
import { CheckpointStore } from '../runs/checkpoint-store.ts'
import { RunFolder } from '../runs/run-folder.ts'
import { checkpointAt } from '../runs/testing/training-checkpoints.ts'
import { diskError } from './disk-error.ts'
import { withFileLock } from './file-lock.ts'
import { appendToFile } from './open-file.ts'
import { writeWholeFile } from './whole-file.ts'
import { writeWholeFolder } from './whole-folder.ts'
import { writeModelFolder } from './write-folder.ts'

let scratch: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-disk-'))
})
afterEach(() => rm(scratch, { recursive: true }))

const advice = { full: 'make room', denied: 'choose another' }

describe('a place that cannot be written is named, and nobody waits for ever', () => {
  const writers: Readonly<Record<string, (place: string) => Promise<unknown>>> = {
    writeWholeFile: (place) => writeWholeFile(join(place, 'file'), 'text'),
    writeWholeFolder: (place) => writeWholeFolder(join(place, 'folder'), async () => {}),
    writeModelFolder: (place) => writeModelFolder(join(place, 'model'), { files: new Map(), tensors: [] }),
    withFileLock: (place) => withFileLock(join(place, 'lock'), { advice }, async () => {}),
    appendToFile: (place) => appendToFile(join(place, 'log'), 'line\n', advice),
    openDataset: async (place) => {
      const data = join(scratch, 'data.txt')
      await writeFile(data, 'one\n\ntwo\n\nthree')
      const tokenizerFiles = byteTokenizerFiles(['<s>', '</s>'])
      await openDataset([data], { cacheDirectory: place, tokenizerFiles, separator: '\n\n', heldOutFraction: 0.3 })
    },
    cachedModelFolder: (place) => {
      const make = (folder: string) => writeWholeFolder(folder, async () => {})
      return cachedModelFolder(
        { kind: 'made', label: 'a', source: 'a', identity: [], state: [], make },
        { cacheDirectory: place },
      )
    },
    'CheckpointStore.save': (place) => new CheckpointStore(join(place, 'checkpoints')).save(checkpointAt(1)),
    'RunFolder.create': (place) => RunFolder.create(join(place, 'run'), {}),
  }
  const places: readonly [string, () => string | Promise<string>][] = [
    ['below /proc', () => '/proc/parscale/a'],
    ['in /sys, where even root makes nothing', () => '/sys/kernel'],
    [
      'below a file',
      async () => {
        const file = join(scratch, 'file')
        await writeFile(file, '')
        return file
      },
    ],
    ['below a name that is too long', () => join(scratch, 'a'.repeat(300))],
    [
      'below a link to itself',
      async () => {
        await symlink('loop', join(scratch, 'loop'))
        return join(scratch, 'loop')
      },
    ],
  ]
  const cases = Object.entries(writers).flatMap(([name, write]) =>
    places.map(([where, place]) => [name, where, write, place] as const),
  )
  test.runIf(existsSync('/proc/self')).each(cases)('%s, %s', async (_, __, write, place) => {
    const where = await place()
    const before = await readdir(scratch)
    const error = await write(where).then(
      () => expect.fail('was written'),
      (error) => error,
    )
    expect(error).toMatchObject({ kind: 'usage', message: expect.stringMatching(/ cannot be (written|used) \(E[A-Z]+\); /) })
    expect(error.message).toContain(where)
    expect((await readdir(scratch)).filter((name) => name !== 'data.txt')).toEqual(before)
  })
})

/** No file may grow beyond so many blocks of 512 bytes: this limit needs no privilege, unlike a small disk. */
async function limited(script: string): Promise<{ kind: string; message: string }> {
  const module = (path: string) => JSON.stringify(fileURLToPath(new URL(`../${path}`, import.meta.url)))
  const code = `
    import { writeWholeFile } from ${module('disk/whole-file.ts')}
    import { writeWholeFolder } from ${module('disk/whole-folder.ts')}
    import { writeModelFolder } from ${module('disk/write-folder.ts')}
    import { CheckpointStore } from ${module('runs/checkpoint-store.ts')}
    import { RunFolder } from ${module('runs/run-folder.ts')}
    const bytes = new Uint8Array(1 << 20)
    const place = ${JSON.stringify(scratch)}
    const error = await (async () => { ${script} })().catch((error) => error)
    console.log(JSON.stringify({ kind: error.kind, message: error.message }))`
  const args = ['--import', 'tsx', '--conditions=source', '--input-type=module', '-e', code]
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ulimit -f 1024; exec "$0" "$@"', process.execPath, ...args])
  return JSON.parse(stdout)
}

describe.runIf(process.platform !== 'win32')('the largest size of a file is no less named than a full disk', () => {
  const reached = (path: string) => `${join(scratch, path)}: the largest size of a file is reached; `
  test.each([
    ['a file', `await writeWholeFile(place + '/file', bytes)`, 'file'],
    ['a folder', `await writeModelFolder(place + '/model', { files: new Map([['a', bytes]]), tensors: [] })`, 'model'],
    [
      'a checkpoint',
      `const parameters = new Map([['a', new Float32Array(1 << 20)]])
       const tensors = [{ name: 'a', shape: [1 << 20] }]
       await new CheckpointStore(place + '/run').save({ step: 1, state: {}, tensors, parameters, m: new Map(), v: new Map() })`,
      'run/step-00000001',
    ],
  ])('%s', async (_, script, path) => {
    const error = await limited(script)
    expect(error.kind).toBe('resource')
    expect(error.message.slice(0, reached(path).length)).toBe(reached(path))
    expect((await readdir(scratch, { recursive: true })).filter((name) => name !== 'run')).toEqual([])
  })
})

test('errors that are not about the path stay what they are', () => {
  const error = (facts: object) => Object.assign(new Error('x'), facts)
  for (const other of [
    new RangeError('mine'),
    error({ code: 'ECONNRESET' }),
    error({ code: 'ENOENT', syscall: 'open', path: '/elsewhere/source' }),
    error({ code: 'EIO', syscall: 'read' }),
  ])
    expect(diskError(other, '/target/file', advice)).toBe(other)
  const failing = diskError(error({ code: 'EIO', syscall: 'write' }), '/target/file', { ...advice, flag: 'out' })
  expect(failing).toMatchObject({
    kind: 'resource',
    message: '--out /target/file: cannot be written (EIO); choose another',
    facts: { file: '/target/file', flag: 'out', found: 'EIO' },
  })
  const quota = { code: 'Unknown system error -122', errno: -constants.errno.EDQUOT, syscall: 'write' }
  expect(diskError(error(quota), '/f', advice)).toMatchObject({
    kind: 'resource',
    message: '/f: the disk quota is used up; make room',
  })
})

test('a copy that fails is of the file that it writes, not of the one that it reads', () => {
  const copy = Object.assign(new Error('ENOSPC: no space left on device'), {
    ...{ code: 'ENOSPC', syscall: 'copyfile', path: '/blobs/a', dest: '/target/.file.partial-1-a' },
  })
  expect(diskError(copy, '/target/file', advice)).toMatchObject({
    kind: 'resource',
    message: '/target/file: the disk is full; make room',
  })
  expect(diskError(copy, '/elsewhere/file', advice)).toBe(copy)
})
