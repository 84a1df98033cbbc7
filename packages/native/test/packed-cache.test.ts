/** Packed files in the cache: made once, and anew whenever they are not what the model would be packed into. */
import { appendFileSync } from 'node:fs'
import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { modelFiles } from '@parscale/core/internal/generation'
import { openModelFolder } from '@parscale/core/internal/node'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { packModel } from '../src/native-decoder.ts'
import { NativeModel } from '../src/native-model.ts'

let scratch: string
let model: string
let cacheDirectory: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-packed-'))
  model = join(scratch, 'model')
  cacheDirectory = join(scratch, 'cache')
  await cp(`${fixturesFolder}goldens/parscale-p4`, model, { recursive: true })
})
afterEach(() => rm(scratch, { recursive: true }))

/** The packed files, and whether any was made just now. */
async function ask(path = model) {
  const open = await openModelFolder(path)
  let writes = 0
  const packed = await packModel(await modelFiles(open), { cacheDirectory, onProgress: () => writes++ })
  await open.close()
  return { ...packed, made: writes > 0 }
}
const cached = () => readdir(join(cacheDirectory, 'packed')).then((names) => names.filter((name) => !name.startsWith('.')))

it('is made once', async () => {
  const first = await ask()
  expect(first.made).toBe(true)
  expect(await ask()).toEqual({ ...first, made: false })
  expect(await cached()).toHaveLength(2)
})

it('is made anew when the weights are others, and the old one removed', async () => {
  const before = await ask()
  const file = join(model, 'model.safetensors')
  const bytes = await readFile(file)
  bytes[bytes.length - 1]! ^= 1
  await writeFile(file, bytes)
  const after = await ask()
  expect(after.made).toBe(true)
  expect(after.backbone).not.toBe(before.backbone)
  expect(await cached()).toHaveLength(2)
})

it('is made anew when config.json says something else that the step must know', async () => {
  const before = await ask()
  const file = join(model, 'config.json')
  const config = JSON.parse(await readFile(file, 'utf8'))
  await writeFile(file, JSON.stringify({ ...config, rms_norm_eps: 2 * config.rms_norm_eps }))
  const after = await ask()
  expect(after.backbone).not.toBe(before.backbone)
})

it.each([
  ['cut short', (file: string) => truncate(file, 1000)],
  ['gone', (file: string) => rm(file)],
])('is made anew when the file is %s', async (_, damage) => {
  const { backbone } = await ask()
  const { size } = await stat(backbone)
  await damage(backbone)
  expect((await ask()).made).toBe(true)
  expect((await stat(backbone)).size).toBe(size)
  await new NativeModel(backbone).dispose()
})

it('lies within a model of the cache, and goes with it', async () => {
  const inCache = join(cacheDirectory, 'bench', 'some')
  await cp(model, inCache, { recursive: true })
  const { backbone } = await ask(inCache)
  expect(dirname(dirname(dirname(backbone)))).toBe(inCache)
  expect(await readdir(cacheDirectory)).toEqual(['bench'])
})

it('is one for the same weights under two paths', async () => {
  const first = await ask()
  const copy = join(scratch, 'copy')
  await cp(model, copy, { recursive: true })
  await utimes(join(copy, 'model.safetensors'), 1, 1)
  expect(await ask(copy)).toEqual({ ...first, made: false })
})

it('is another one for other weights of the same size and time', async () => {
  const first = await ask()
  const [file, copy] = [join(model, 'model.safetensors'), join(scratch, 'copy')]
  await cp(model, copy, { recursive: true, preserveTimestamps: true })
  const { atime, mtime } = await stat(file)
  const bytes = await readFile(join(copy, 'model.safetensors'))
  bytes[bytes.length - 1]! ^= 1
  await writeFile(join(copy, 'model.safetensors'), bytes)
  await utimes(join(copy, 'model.safetensors'), atime, mtime)
  const second = await ask(copy)
  expect(second.backbone).not.toBe(first.backbone)
  expect(await ask()).toEqual({ ...first, made: false })
})

it('is not kept where its source changes while it is packed', async () => {
  const open = await openModelFolder(model)
  const file = join(model, 'model.safetensors')
  const packing = packModel(await modelFiles(open), { cacheDirectory, onProgress: () => appendFileSync(file, 'x') })
  await expect(packing).rejects.toThrow(`${file}: changes while it is read`)
  await open.close()
  expect(await readdir(join(cacheDirectory, 'packed'))).toEqual([])
})

it('leaves nothing behind when it is interrupted', async () => {
  const open = await openModelFolder(model)
  const controller = new AbortController()
  const packing = packModel(await modelFiles(open), {
    cacheDirectory,
    signal: controller.signal,
    onProgress: () => controller.abort(new Error('enough')),
  })
  await expect(packing).rejects.toThrow('enough')
  await open.close()
  expect(await readdir(join(cacheDirectory, 'packed'))).toEqual([])
})
