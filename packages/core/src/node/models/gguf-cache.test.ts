import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { ggufFolder } from './gguf-cache.ts'
import { openModelPath } from './open-model.ts'

let scratch: string
let file: string
let cacheDirectory: string
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  file = join(scratch, 'tiny.gguf')
  cacheDirectory = join(scratch, 'cache')
  await cp(fileURLToPath(new URL('../../../../../fixtures/gguf/qwen2-p1.gguf', import.meta.url)), file)
})
afterEach(() => rm(scratch, { recursive: true }))

async function flipLast(path: string): Promise<void> {
  const bytes = await readFile(path)
  bytes[bytes.length - 1]! ^= 1
  await writeFile(path, bytes)
}

const cached = () => readdir(join(cacheDirectory, 'gguf'))

it('is made once and opened as a model', async () => {
  let writes = 0
  const options = { cacheDirectory, onProgress: () => writes++ }
  const first = await openModelPath(file, options)
  expect(first.config.modelType).toBe('qwen2')
  expect(first.tensors.get('model.norm.weight')?.dtype).toBe('F16')
  await first.close()
  expect(writes).toBeGreaterThan(0)
  writes = 0
  const again = await openModelPath(file, options)
  expect(again.path).toBe(first.path)
  await again.close()
  expect(writes).toBe(0)
})

it('is made anew for a file that changed', async () => {
  const before = await ggufFolder(file, { cacheDirectory })
  await flipLast(file)
  expect(await ggufFolder(file, { cacheDirectory })).not.toBe(before)
  expect(await cached()).toHaveLength(1)
})

it('is one folder for the same bytes, whatever they are called and whenever they were written', async () => {
  const made = await ggufFolder(file, { cacheDirectory })
  const copy = join(scratch, 'elsewhere', 'copy.gguf')
  await cp(file, copy)
  await utimes(copy, new Date(0), new Date(0))
  expect(await ggufFolder(copy, { cacheDirectory })).toBe(made)
  expect(await cached()).toHaveLength(1)
})

it('tells files of the same path, size and time apart', async () => {
  const before = await ggufFolder(file, { cacheDirectory })
  const { atime, mtime } = await stat(file)
  await flipLast(file)
  await utimes(file, atime, mtime)
  expect(await ggufFolder(file, { cacheDirectory })).not.toBe(before)
})

it.each(['model.safetensors', 'config.json', 'files.json'])('is made anew when %s was cut short', async (name) => {
  const folder = await ggufFolder(file, { cacheDirectory })
  await truncate(join(folder, name), 100)
  let writes = 0
  expect(await ggufFolder(file, { cacheDirectory, onProgress: () => writes++ })).toBe(folder)
  expect(writes).toBeGreaterThan(0)
  const model = await openModelPath(file, { cacheDirectory })
  expect(model.tensors.size).toBe(26)
  await model.close()
})

it('several at once agree, and nothing half-made stays', async () => {
  const folders = await Promise.all(Array.from({ length: 8 }, () => ggufFolder(file, { cacheDirectory })))
  expect(new Set(folders).size).toBe(1)
  expect(await cached()).toHaveLength(1)
  const model = await openModelPath(file, { cacheDirectory })
  expect(model.tensors.size).toBe(26)
  await model.close()
})

it('leaves nothing when aborted, or when the file is no model', async () => {
  const controller = new AbortController()
  const options = { cacheDirectory, signal: controller.signal, onProgress: () => controller.abort() }
  await expect(ggufFolder(file, options)).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
  expect(await cached()).toEqual([])
  await writeFile(file, 'GGUF, or so it says')
  await expect(ggufFolder(file, { cacheDirectory })).rejects.toMatchObject({ name: 'ParscaleError' })
  expect(await cached()).toEqual([])
})
