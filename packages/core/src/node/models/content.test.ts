/** Hashes of files are remembered, and never believed of another content. */
import { createHash } from 'node:crypto'
import { mkdtemp, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { claim, contentOf, forgetGoneFiles, isClaimed } from './content.ts'

let scratch: string
let file: string
let cacheDirectory: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-content-'))
  file = join(scratch, 'weights')
  cacheDirectory = join(scratch, 'cache')
  await writeFile(file, 'one')
})
afterEach(() => rm(scratch, { recursive: true }))

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
/** The hash, and how many bytes were read for it. */
async function ask(path = file): Promise<{ hash: string; read: number }> {
  let read = 0
  const hash = await contentOf(path, { cacheDirectory, onBytes: (bytes) => (read += bytes) })
  return { hash, read }
}
/** Until a file is old enough that a later write must have another time. */
const settle = () => sleep(2_100)

it('is worked out once for a file that nobody touches', async () => {
  await settle()
  expect(await ask()).toEqual({ hash: sha256('one'), read: 3 })
  expect(await ask()).toEqual({ hash: sha256('one'), read: 0 })
})

it('is worked out anew for a file that was written just now', async () => {
  // The clock stands still, for a busy machine may come to it seconds later.
  vi.setSystemTime((await stat(file)).ctimeMs + 1_000)
  try {
    expect(await ask()).toEqual({ hash: sha256('one'), read: 3 })
    expect(await ask()).toEqual({ hash: sha256('one'), read: 3 })
  } finally {
    vi.useRealTimers()
  }
})

it.each<[string, () => Promise<void>]>([
  ['written to', () => writeFile(file, 'two')],
  [
    'replaced',
    async () => {
      await writeFile(join(scratch, 'new'), 'two')
      await rename(join(scratch, 'new'), file)
    },
  ],
])('of a file that was %s, with its size and time set back, is that of what it holds', async (_, change) => {
  await utimes(file, 1e9, 1e9)
  await settle()
  await ask()
  const { size, mtimeNs } = await stat(file, { bigint: true })
  await change()
  await utimes(file, 1e9, 1e9)
  expect(await stat(file, { bigint: true })).toMatchObject({ size, mtimeNs })
  await settle()
  expect(await ask()).toEqual({ hash: sha256('two'), read: 3 })
})

it('claims end with their files', async () => {
  await claim({ what: 'packed/backbone', path: file, content: 'c' }, cacheDirectory)
  expect(await isClaimed('c', join(scratch, 'other'), cacheDirectory)).toBe(true)
  expect(await isClaimed('c', file, cacheDirectory)).toBe(false)
  await rm(file)
  await forgetGoneFiles(cacheDirectory)
  expect(await isClaimed('c', join(scratch, 'other'), cacheDirectory)).toBe(false)
})
