import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, describe, expect } from 'vitest'
import { type FileLock, removeStaleLock, tryFileLock } from './file-lock.ts'
import { nodeModule, zombieAfter } from './testing/processes.ts'

interface Place {
  readonly folder: string
  /** Of the lock. */
  readonly path: string
}
const test = base.extend<Place>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of what a fixture needs
  folder: async ({}, use) => {
    const folder = await mkdtemp(join(tmpdir(), 'parscale-lock-'))
    await use(folder)
    await rm(folder, { recursive: true })
  },
  path: async ({ folder }, use) => await use(join(folder, 'lock')),
})

async function taken(path: string): Promise<FileLock> {
  const lock = await tryFileLock(path)
  if (!('release' in lock)) expect.fail(`held by ${JSON.stringify(lock.owner)}`)
  return lock
}

async function setAge(file: string, ageMs: number): Promise<void> {
  const time = new Date(Date.now() - ageMs)
  await utimes(file, time, time)
}

/** Who has a lock that was written less than a second ago. On a busy machine it may be older when it is looked at: then once more. */
async function ownerAtOnce(path: string, text: string): Promise<Awaited<ReturnType<typeof tryFileLock>>> {
  for (let tries = 0; tries < 100; tries++) {
    const begun = Date.now()
    await writeFile(path, text)
    const found = await tryFileLock(path)
    if (Date.now() - begun < 900) return found
    if ('release' in found) await found.release()
  }
  throw new Error('this machine stops for a second again and again')
}

/** Touches a file each second, as a running owner does. The returned function stops it, when the last touch is done. */
function touchedBy(touch: () => Promise<void>): () => Promise<void> {
  let last = Promise.resolve()
  const timer = setInterval(() => {
    last = last.then(touch)
  }, 1_000)
  return () => {
    clearInterval(timer)
    return last
  }
}

// Most of these wait: they do so beside each other.
describe.concurrent('a file that is a lock', () => {
  test('one at a time; the others learn who', async ({ folder, path }) => {
    const lock = await taken(path)
    expect(await tryFileLock(path)).toMatchObject({ owner: { pid: process.pid, host: hostname() } })
    await lock.release()
    await (await taken(path)).release()
    expect(await readdir(folder)).toEqual([])
  })

  test('a process that was killed has no lock', async ({ path }) => {
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 1e6)'])
    await once(child, 'spawn')
    await writeFile(path, JSON.stringify({ id: 'theirs', pid: child.pid, host: hostname() }))
    expect(await tryFileLock(path)).toMatchObject({ owner: { pid: child.pid } })
    child.kill('SIGKILL')
    await once(child, 'exit')
    await (await taken(path)).release()
  })

  test.runIf(process.platform === 'linux')(
    'the lock of a process that is gone goes, that of one that runs stays',
    async ({ folder, path }) => {
      const mine = await taken(path)
      await removeStaleLock(path)
      expect(await mine.isHeld()).toBe(true)
      const owner = JSON.parse(await readFile(path, 'utf8'))
      await writeFile(path, JSON.stringify({ ...owner, pid: 2 ** 22 + 1 }))
      await removeStaleLock(path)
      expect(await readdir(folder)).toEqual([])
      await writeFile(path, JSON.stringify({ ...owner, place: 'another machine', pid: 2 ** 22 + 1 }))
      await removeStaleLock(path)
      await removeStaleLock(join(folder, 'none'))
      expect(await readdir(folder)).toEqual(['lock'])
    },
  )

  test.runIf(process.platform === 'linux')('a process of the same number that was started later is another', async ({ path }) => {
    const mine = await taken(path)
    const owner = JSON.parse(await readFile(path, 'utf8'))
    expect(owner.started).toMatch(/^[0-9a-f-]{36} \d+$/)
    await writeFile(path, JSON.stringify({ ...owner, id: 'theirs', started: owner.started.replace(/\d+$/, '1') }))
    const next = await taken(path)
    expect(await mine.isHeld()).toBe(false)
    await mine.release()
    expect(await next.isHeld()).toBe(true)

    // One that is surely the owner keeps its lock, however long it was suspended.
    await setAge(path, 3600_000)
    expect(await tryFileLock(path)).toMatchObject({ owner: { pid: process.pid } })
    await next.release()
  })

  test('of many who find the same stale lock, one gets it, and the others learn from whom', async ({ path }) => {
    for (let round = 0; round < 5; round++) {
      await writeFile(path, JSON.stringify({ id: 'gone', pid: 2 ** 22 + 1, host: hostname() }))
      const results = await Promise.all(Array.from({ length: 6 }, () => tryFileLock(path)))
      const locks = results.flatMap((result) => ('release' in result ? [result] : []))
      expect(locks).toHaveLength(1)
      for (const result of results) if ('owner' in result) expect(result.owner?.pid ?? process.pid).toBe(process.pid)
      await locks[0]!.release()
    }
  })

  test('the lock of another machine holds until nobody touches it any more', async ({ path }) => {
    await writeFile(path, JSON.stringify({ id: 'far', pid: 1, host: 'another machine' }))
    expect(await tryFileLock(path)).toMatchObject({ owner: { host: 'another machine' } })
    await setAge(path, 120_000)
    await (await taken(path)).release()
  })

  test('a process that was killed before it wrote its name, or while it took a lock over, has none', async ({ folder, path }) => {
    expect(await ownerAtOnce(path, '')).toEqual({ owner: undefined })
    await setAge(path, 2_000)
    await writeFile(`${path}.takeover`, JSON.stringify({ id: 'theirs', pid: 2 ** 22 + 1, host: hostname() }))
    await (await taken(path)).release()
    expect(await readdir(folder)).toEqual([])
  })

  test.runIf(process.platform === 'linux')('a process that is dead but not reaped has no lock', async ({ folder, path }) => {
    const zombie = await zombieAfter(`import { tryFileLock } from ${nodeModule('disk/file-lock.ts')}
    await tryFileLock(${JSON.stringify(path)})
    setTimeout(() => {}, 1e9)
    console.log('taken')`)
    const owner = JSON.parse(await readFile(path, 'utf8'))
    expect(owner).toMatchObject({ pid: zombie.pid, host: hostname(), started: expect.any(String), since: expect.any(String) })
    await (await taken(path)).release()
    // One that does not say when it was started, too.
    await writeFile(path, JSON.stringify({ id: 'theirs', pid: zombie.pid, host: hostname() }))
    await (await taken(path)).release()
    await zombie.end()
    expect(await readdir(folder)).toEqual([])
  })

  test.for([
    ['no JSON', '{"id":'],
    ['another thing', '[1]'],
    ['no process', JSON.stringify({ id: 'x', pid: -1, host: hostname() })],
    ['a group of processes', JSON.stringify({ id: 'x', pid: 0, host: hostname() })],
    ['no number', JSON.stringify({ id: 'x', pid: 'all', host: hostname() })],
  ])('a lock that names nobody (%s) does not hold for ever', async ([, text], { path }) => {
    expect(await ownerAtOnce(path, text)).toEqual({ owner: undefined })
    await setAge(path, 2_000)
    await (await taken(path)).release()
  })

  test('a link into nothing does not hold for ever', async ({ folder, path }) => {
    await symlink(join(folder, 'nowhere'), path)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await (await taken(path)).release()
    expect(await readdir(folder)).toEqual([])
  })

  test('a clock that was set back: the lock of another machine holds only while somebody touches it', async ({ path }) => {
    const theirs = JSON.stringify({ id: 'far', pid: 1, host: 'another machine' })
    await writeFile(path, theirs)
    await setAge(path, -3600_000)
    const stopTouching = touchedBy(() => setAge(path, -3600_000 - Math.random()))
    expect(await tryFileLock(path)).toMatchObject({ owner: { host: 'another machine' } })
    await stopTouching()
    await setAge(path, -3600_000)
    await (await taken(path)).release()

    await writeFile(path, theirs)
    await setAge(path, -3600_000)
    await expect(tryFileLock(path, AbortSignal.timeout(50))).rejects.toThrow(/aborted/)
  })

  test('a clock that is ahead: what its owner touches is held, whatever its age', async ({ path }) => {
    await writeFile(path, JSON.stringify({ id: 'far', pid: 1, host: 'another machine' }))
    await setAge(path, 3600_000)
    const stopTouching = touchedBy(() => setAge(path, 3600_000 - 1000 * Math.random()))
    expect(await tryFileLock(path)).toMatchObject({ owner: { host: 'another machine' } })
    await stopTouching()
    await (await taken(path)).release()
  })

  test.runIf(process.platform === 'linux')(
    'a number means a process of its own machine and container, whatever they are called',
    async ({ path }) => {
      const mine = await taken(path)
      const owner = JSON.parse(await readFile(path, 'utf8'))
      await mine.release()
      // Of our name and number, after a boot of its own or in another container.
      for (const place of [owner.place.replace(/^./, 'x'), owner.place.replace(/\d+\]$/, '1]')]) {
        await writeFile(path, JSON.stringify({ ...owner, id: 'theirs', pid: 2 ** 22 + 1, place }))
        expect(await tryFileLock(path)).toMatchObject({ owner: { id: 'theirs' } })
      }
      await setAge(path, 120_000)
      await (await taken(path)).release()
      await mine.release()

      // The name of this machine was another one when the lock was taken.
      await writeFile(path, JSON.stringify({ ...owner, host: 'earlier name' }))
      await setAge(path, 3600_000)
      expect(await tryFileLock(path)).toMatchObject({ owner: { pid: process.pid } })
      await writeFile(path, JSON.stringify({ ...owner, host: 'earlier name', pid: 2 ** 22 + 1 }))
      await (await taken(path)).release()
    },
  )

  test("a lock that cannot be read just now is not nobody's", async ({ folder, path }) => {
    // EISDIR for a person, ESTALE and EIO where a server is away: the file system says that something is there, and not what.
    await mkdir(path)
    await setAge(path, 2_000)
    expect(await tryFileLock(path)).toMatchObject({ owner: { pid: 0 } })
    expect(await readdir(folder)).toEqual(['lock'])
  })
})
