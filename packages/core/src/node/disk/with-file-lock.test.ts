import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type LockOptions, withFileLock } from './file-lock.ts'

const advice = { full: 'make room', denied: 'choose another' }
const withLock = <T>(path: string, options: Omit<LockOptions, 'advice'>, work: () => Promise<T>) =>
  withFileLock(path, { ...options, advice }, work)

let folder: string
let path: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-lock-'))
  path = join(folder, 'a.lock')
})
afterEach(() => rm(folder, { recursive: true }))

test('one at a time, and nothing is left, also after a failure', async () => {
  let inside = 0
  const work = async () => {
    expect(++inside).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 5))
    inside--
  }
  await Promise.all(Array.from({ length: 8 }, () => withLock(path, {}, work)))
  await expect(withLock(path, {}, () => Promise.reject(new RangeError('mine')))).rejects.toThrow(RangeError)
  expect(await readdir(folder)).toEqual([])
})

test('the lock of a process that was killed is taken over', async () => {
  const lockModule = fileURLToPath(new URL('./file-lock.ts', import.meta.url))
  const script = `
    import { withFileLock } from ${JSON.stringify(lockModule)}
    await withFileLock(${JSON.stringify(path)}, {}, () => { console.log('held'); return new Promise((resolve) => setTimeout(resolve, 1e9)) })`
  const child = spawn(process.execPath, ['--import', 'tsx', '--conditions=source', '--input-type=module', '-e', script], {
    stdio: 'pipe',
  })
  await once(child.stdout, 'data')
  const interrupt = new AbortController()
  let owner = 0
  const onWait: LockOptions['onWait'] = ({ pid }, who) => {
    owner = pid
    expect(who).toMatch(/^process \d+ on .+ \(since \d{4}-\d\d-\d\dT.*Z\)$/)
    interrupt.abort()
  }
  const blocked = withLock(path, { signal: interrupt.signal, onWait }, async () => 'never')
  await expect(blocked).rejects.toMatchObject({ name: 'AbortError' })
  expect(owner).toBe(child.pid)

  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await withLock(path, {}, async () => 'mine')).toBe('mine')
})

test('of many who find the same stale lock, one at a time gets it', async () => {
  let inside = 0
  const work = async () => {
    expect(++inside).toBe(1)
    await new Promise((resolve) => setImmediate(resolve))
    inside--
  }
  for (let round = 0; round < 10; round++) {
    await writeFile(path, JSON.stringify({ id: 'gone', pid: 2 ** 22 + 1, host: hostname() }))
    await Promise.all(Array.from({ length: 4 }, () => withLock(path, {}, work)))
  }
})

test('the lock of another machine holds until nobody touches it any more', async () => {
  await writeFile(path, JSON.stringify({ id: 'far', pid: 1, host: 'another machine' }))
  const waiting = withLock(path, { signal: AbortSignal.timeout(50) }, async () => 'never')
  await expect(waiting).rejects.toMatchObject({ name: 'TimeoutError' })
  const twoMinutesAgo = new Date(Date.now() - 120_000)
  await utimes(path, twoMinutesAgo, twoMinutesAgo)
  expect(await withLock(path, {}, async () => 'mine')).toBe('mine')
})
