import { appendFile, cp, mkdtemp, readdir, readFile, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { quantisedFolder } from './quantised-cache.ts'

const shipped = fileURLToPath(new URL('../../../../parscale/models/small', import.meta.url))

let scratch: string
let model: string
let cacheDirectory: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  model = join(scratch, 'model')
  cacheDirectory = join(scratch, 'cache')
  await cp(shipped, model, { recursive: true })
})
afterEach(() => rm(scratch, { recursive: true }))

const cached = () => readdir(join(cacheDirectory, 'quantised'))
async function flipLast(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length - 1]! ^= 1
  await writeFile(path, bytes)
}

/** Sets fit one backbone only. */
async function withoutSets(change: () => Promise<void>): Promise<void> {
  await rm(join(model, 'streams'), { recursive: true })
  await change()
}

/** The folder, and whether it was made just now. */
async function ask(bits: 8 | 4 = 8, blockSize?: number) {
  let writes = 0
  const folder = await quantisedFolder(model, { bits, blockSize }, { cacheDirectory, onProgress: () => writes++ })
  return { folder, made: writes > 0 }
}

it('is made once, and again for other settings', async () => {
  const first = await ask()
  expect(first.made).toBe(true)
  expect(await ask()).toEqual({ ...first, made: false })
  expect((await ask(4)).made).toBe(true)
  expect((await ask(4, 64)).made).toBe(true)
  expect((await ask(4, 32)).made).toBe(false) // what it is when nobody says
  expect(await cached()).toHaveLength(3)
})

it.each<[string, () => Promise<void>]>([
  ['a weight file with another bit', () => withoutSets(() => flipLast(join(model, 'model.safetensors')))],
  ['a tokenizer that grew', () => appendFile(join(model, 'tokenizer.json'), '\n')],
  ['a stream set with another bit', () => flipLast(join(model, 'streams', 'p4', 'model.safetensors'))],
  ['a stream set that is gone', () => rm(join(model, 'streams', 'p8'), { recursive: true })],
])('is made anew for %s, and the old one removed', async (_, change) => {
  const before = await ask()
  await change()
  const after = await ask()
  expect(after.made).toBe(true)
  expect(after.folder).not.toBe(before.folder)
  expect(await cached()).toHaveLength(1)
})

it('follows a link that leads to another file', async () => {
  await rm(join(model, 'streams'), { recursive: true })
  const [one, two] = [join(scratch, 'one'), join(scratch, 'two')]
  await rename(join(model, 'model.safetensors'), one)
  await cp(one, two)
  await symlink(one, join(model, 'model.safetensors'))
  const { folder } = await ask()
  await rm(join(model, 'model.safetensors'))
  await symlink(two, join(model, 'model.safetensors'))
  expect(await ask()).toEqual({ folder, made: false })
  await flipLast(two)
  expect((await ask()).made).toBe(true)
})

it('is one folder for the same model in two places', async () => {
  const { folder } = await ask()
  await utimes(join(model, 'model.safetensors'), 1, 1)
  expect(await ask()).toEqual({ folder, made: false })
  await rename(model, join(scratch, 'elsewhere'))
  model = join(scratch, 'elsewhere')
  expect(await ask()).toEqual({ folder, made: false })
})

it.each(['model.safetensors', 'tokenizer.json', 'config.json', 'streams/p2/model.safetensors', 'files.json'])(
  'is made anew when its %s was cut short',
  async (name) => {
    const { folder } = await ask()
    const whole = await readFile(join(folder, name))
    await truncate(join(folder, name), Math.floor(whole.length / 2))
    expect(await ask()).toEqual({ folder, made: true })
    expect((await readFile(join(folder, name))).equals(whole)).toBe(true)
  },
)

it('of another version is removed', async () => {
  const { folder } = await ask()
  await rename(folder, `${folder.slice(0, -12)}0123456789ab`)
  expect((await ask()).folder).toBe(folder)
  expect(await cached()).toHaveLength(1)
})

it('leaves nothing when aborted', async () => {
  const controller = new AbortController()
  const options = { cacheDirectory, signal: controller.signal, onProgress: () => controller.abort() }
  await expect(quantisedFolder(model, { bits: 8 }, options)).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
  expect(await cached()).toEqual([])
})
