import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import process from 'node:process'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { partialPath, removeLeftovers, temporaryFolder, withPartial } from './partial.ts'
import { nodeModule, runScript, zombieAfter } from './testing/processes.ts'
import { writeWholeFile } from './whole-file.ts'
import { writeWholeFolder } from './whole-folder.ts'

let folder: string
let target: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-partial-'))
  target = join(folder, 'target')
})
afterEach(() => rm(folder, { recursive: true }))

/** A script that begins a file and a folder, says so, and does not go on. */
const unfinished = () => `
  import { writeWholeFile } from ${nodeModule('disk/whole-file.ts')}
  import { writeWholeFolder } from ${nodeModule('disk/whole-folder.ts')}
  import { writeFile } from 'node:fs/promises'
  const forEver = () => new Promise((resolve) => setTimeout(resolve, 1e9))
  let begun = 0
  const stay = () => { if (++begun === 2) console.log('begun'); return forEver() }
  writeWholeFile(${JSON.stringify(target)}, async (sink) => { await sink.write(new Uint8Array(9)); await stay() })
  writeWholeFolder(${JSON.stringify(join(folder, 'model'))}, async (partial) => { await writeFile(partial + '/a', 'half'); await stay() })`

/** Every command that writes here later removes what killed ones left, whatever its own target is. */
const writers: readonly [string, () => Promise<unknown>][] = [
  ['a file', () => writeWholeFile(join(folder, 'other'), 'text')],
  ['a folder', () => writeWholeFolder(join(folder, 'other'), async () => {})],
  ['nothing, for a while', () => temporaryFolder(join(folder, 'other'))],
]

test.each(writers)(
  'what a killed process left is removed, and what a living one is writing is not: by who writes %s',
  async (_, write) => {
    const child = runScript(unfinished())
    await once(child.stdout!, 'data')
    const before = await readdir(folder)
    expect(before).toHaveLength(2)
    await write()
    expect((await readdir(folder)).filter((name) => name !== 'other')).toEqual(before)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await rm(join(folder, 'other'), { recursive: true, force: true })
    await write()
    expect((await readdir(folder)).filter((name) => name !== 'other')).toEqual([])
  },
)

test.runIf(process.platform === 'linux')('a dead process that nobody has reaped is not writing', async () => {
  const zombie = await zombieAfter(unfinished())
  expect(await readdir(folder)).toHaveLength(2)
  await removeLeftovers(folder)
  expect(await readdir(folder)).toEqual([])
  await zombie.end()
})

describe('whose it is', () => {
  /** The partial path of this process with parts of its name changed. */
  async function partial(change: (parts: string[]) => void, ageMs = 0): Promise<string> {
    const [name, tag] = basename(partialPath(target)).split('.partial-') as [string, string]
    const parts = tag.split('-')
    change(parts)
    const path = join(folder, `${name}.partial-${parts.join('-')}`)
    await mkdir(path)
    const time = new Date(Date.now() - ageMs)
    await utimes(path, time, time)
    return basename(path)
  }
  const left = async () => {
    await removeLeftovers(folder)
    return await readdir(folder)
  }

  test('this process, however long ago it wrote', async () => {
    const path = await partial(() => {}, 3600_000)
    expect(await left()).toEqual([path])
  })

  test.runIf(process.platform === 'linux')('a process of the same number that was started earlier', async () => {
    await partial((parts) => {
      parts[1] = '00000000'
    })
    expect(await left()).toEqual([])
  })

  const ofAnotherMachine = (parts: string[]) => {
    parts[2] = '00000000'
  }

  test("another machine's, while it is touched", async () => {
    const path = await partial(ofAnotherMachine, 30_000)
    await partial((parts) => {
      ofAnotherMachine(parts)
      parts[3] = '00000000'
    }, 120_000)
    expect(await left()).toEqual([path])
  })

  test("another machine's, after the clock was set back: only one that is touched no more is gone", async () => {
    await partial(ofAnotherMachine, -3600_000)
    const touched = await partial((parts) => {
      ofAnotherMachine(parts)
      parts[3] = '00000000'
    }, -3600_000)
    const touching = setInterval(() => utimes(join(folder, touched), new Date(), new Date(Date.now() + 3600_000)), 1000)
    expect(await left()).toEqual([touched])
    clearInterval(touching)
  })

  test('nobody that the name says: a file of that name is the user’s own', async () => {
    const names = ['.x.partial-draft', 'notes.partial-1', '.target.partial-5f3c9c30-2f0b-4c52-9a52-1d1c6b0f4f11']
    for (const name of names) {
      await writeFile(join(folder, name), '')
      await utimes(join(folder, name), 1, 1)
    }
    expect((await left()).sort()).toEqual(names.sort())
  })
})

test.each(['a'.repeat(255), 'é'.repeat(127), '🐋'.repeat(63)])('a name may be as long as the system allows: %s', async (name) => {
  await writeWholeFile(join(folder, name), 'text')
  expect(await readFile(join(folder, name), 'utf8')).toBe('text')
  expect(await readdir(folder)).toEqual([name])
})

test('what fails leaves nothing', async () => {
  const failing = withPartial(target, async (partial) => {
    await writeFile(partial, 'half')
    throw new RangeError('mine')
  })
  await expect(failing).rejects.toThrow(RangeError)
  expect(await readdir(folder)).toEqual([])
})
