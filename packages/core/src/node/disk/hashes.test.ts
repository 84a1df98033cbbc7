/** Every bit of a folder counts: whichever one flips, the check names the file, and a check that was done is not done again. */
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkInBackground, findDamage, isDamaged, readHashes } from './hashes.ts'
import { writeNewFile } from './whole-file.ts'
import { isWholeFolder, writeWholeFolder } from './whole-folder.ts'

const listing = 'files.json'
const sizes = { weights: 40_000_000, small: 5, empty: 0 }
let scratch: string
let folder: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-hashes-'))
  folder = join(scratch, 'folder')
  const write = async (partial: string) => {
    for (const [name, size] of Object.entries(sizes)) await writeNewFile(join(partial, name), new Uint8Array(size).fill(0x5a))
  }
  await writeWholeFolder(folder, write, { listing, source: 'a model' })
})
afterEach(() => rm(scratch, { recursive: true }))

/** Flips one bit and leaves size and time of change as they are, as a disk does. */
async function flip(name: string, bit: number): Promise<void> {
  const path = join(folder, name)
  const { atime, mtime } = await stat(path)
  const bytes = await readFile(path)
  bytes[bit >> 3]! ^= 1 << (bit & 7)
  await writeFile(path, bytes)
  await utimes(path, atime, mtime)
}

const ever = () => new AbortController().signal
const damage = async () => await findDamage(folder, (await readHashes(folder))!)

it('a folder as it was made', async () => {
  expect(await readHashes(folder)).toMatchObject({ source: 'a model', files: { small: { bytes: 5 }, empty: { sha256: [] } } })
  expect(await damage()).toBeUndefined()
})

it('any bit of any file', async () => {
  const place = fc
    .constantFrom('weights', 'small')
    .chain((name) => fc.tuple(fc.constant(name), fc.nat(8 * sizes[name as 'small'] - 1)))
  await fc.assert(
    fc.asyncProperty(place, async ([name, bit]) => {
      await flip(name, bit)
      expect(await damage()).toMatchObject({ file: name, found: expect.stringMatching(/^bytes \d+ to \d+ are not those/) })
      await flip(name, bit)
    }),
    { numRuns: 10 },
  )
  expect(await damage()).toBeUndefined()
})

it('a file that grew, was cut or is gone', async () => {
  await writeFile(join(folder, 'small'), '123456')
  expect(await damage()).toEqual({ file: 'small', found: 'has 6 bytes, 5 were written' })
  await writeFile(join(folder, 'small'), '')
  expect(await damage()).toEqual({ file: 'small', found: 'has 0 bytes, 5 were written' })
  await rm(join(folder, 'small'))
  expect(await damage()).toEqual({ file: 'small', found: 'is gone' })
})

it('hashes that are damaged themselves are none', async () => {
  await writeFile(join(folder, 'hashes.json'), '{"blockBytes":')
  expect(await readHashes(folder)).toBeUndefined()
  await checkInBackground(folder, ever())
})

it('in the background, the damaged file is named and the folder is whole no more', async () => {
  await flip('weights', 3)
  expect(await isWholeFolder(folder, listing)).toBe(true)
  await expect(checkInBackground(folder, ever())).rejects.toMatchObject({
    kind: 'checkpoint',
    message: expect.stringMatching(/weights: bytes 0 to 16777216 are not those.*made anew/),
  })
  expect(await isDamaged(folder)).toBe(true)
  expect(await isWholeFolder(folder, listing)).toBe(false)
})

it('in the background, a version of a file is checked once', async () => {
  await checkInBackground(folder, ever())
  const verified = await readFile(join(folder, 'verified.json'), 'utf8')
  expect(JSON.parse(verified)).toMatchObject({ weights: { blocks: 3 }, small: { blocks: 1 }, empty: { blocks: 0 } })
  // Hashes of other bytes are not missed by a check that does not look.
  const hashes = JSON.parse(await readFile(join(folder, 'hashes.json'), 'utf8'))
  hashes.files.weights.sha256[2] = 'other'
  await writeFile(join(folder, 'hashes.json'), JSON.stringify(hashes))
  await checkInBackground(folder, ever())
  await utimes(join(folder, 'weights'), 1, 1)
  await expect(checkInBackground(folder, ever())).rejects.toThrow(/weights: bytes 33554432 to 40000000/)
})

it('in the background, a check that was stopped goes on where it was', async () => {
  const path = join(folder, 'verified.json')
  const checked = async (): Promise<number> => JSON.parse(await readFile(path, 'utf8').catch(() => '{}')).weights?.blocks ?? 0
  // How long a block takes is the machine's affair: until one is behind it, and not all are.
  for (let [tries, ms] = [0, 100]; ![1, 2].includes(await checked()); tries++) {
    expect(tries).toBeLessThan(1000)
    if ((await checked()) === 3) ms = 100
    await rm(path, { force: true })
    const controller = new AbortController()
    const checking = checkInBackground(folder, controller.signal)
    setTimeout(() => controller.abort(), ms)
    await checking
    ms *= 1.2
  }
  // What is behind it is not looked at again.
  const hashes = JSON.parse(await readFile(join(folder, 'hashes.json'), 'utf8'))
  hashes.files.weights.sha256[0] = 'other'
  await writeFile(join(folder, 'hashes.json'), JSON.stringify(hashes))
  await checkInBackground(folder, ever())
  expect(await checked()).toBe(3)
})
