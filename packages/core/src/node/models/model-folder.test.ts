import { cp, mkdtemp, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readF32 } from '../../checkpoint/read-tensor.ts'
import { parscaleConfig } from '../../model/index.ts'
import { openModelFolder } from './model-folder.ts'
import { openModelPath } from './open-model.ts'

const golden = fileURLToPath(new URL('../../../../../fixtures/goldens/parscale-p2', import.meta.url))
let scratch: string
let folder: string

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  folder = join(scratch, 'model')
  await cp(golden, folder, { recursive: true })
})
afterEach(() => rm(scratch, { recursive: true }))

const index = (weightMap: Record<string, string>) =>
  writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: weightMap }))

it('opens a golden model', async () => {
  const model = await openModelFolder(folder)
  expect(model.config.parscale).toEqual(parscaleConfig({ n: 2, nTokens: 6, attnSmooth: 0.01 }))
  expect(model.configJson.model_type).toBe('qwen2_parscale')
  const tensor = model.tensors.get('model.norm.weight')!
  expect(await readF32(tensor)).toHaveLength(64)
  expect(tensor.source.path).toMatch(/model\.safetensors$/)
  expect(await model.readText('expected.json')).toContain('"input_ids"')
  expect(await model.readText('tokenizer.json')).toBeUndefined()
  await model.close()
  await expect(readF32(tensor)).rejects.toThrow()
})

it('opens a folder of links, as the hub cache has them', async () => {
  const snapshot = join(scratch, 'snapshot')
  await rm(folder, { recursive: true })
  await cp(golden, snapshot, { recursive: true })
  await symlink(snapshot, folder)
  const model = await openModelFolder(folder)
  expect(model.tensors.get('model.norm.weight')!.source.path).toContain('snapshot')
  await model.close()
})

it('refuses what is no folder', async () => {
  await expect(openModelFolder(join(scratch, 'nothing'))).rejects.toThrow(/there is no such folder \(ENOENT\)/)
  await expect(openModelFolder(join(folder, 'config.json'))).rejects.toThrow(/expected a model's folder, found a file/)
  const options = { cacheDirectory: scratch }
  await expect(openModelPath(join(scratch, 'nothing'), options)).rejects.toThrow(/there is no such file or folder \(ENOENT\)/)
  await expect(openModelPath(join(folder, 'model.safetensors'), options)).rejects.toThrow(
    /for a \.safetensors file give its folder/,
  )
})

it('names what is missing', async () => {
  await rm(join(folder, 'model.safetensors'))
  await expect(openModelFolder(folder)).rejects.toThrow(
    /no weights: expected model\.safetensors or model\.safetensors\.index\.json/,
  )
  await index({ a: 'model-00001-of-00002.safetensors' })
  await expect(openModelFolder(folder)).rejects.toThrow(
    /model-00001-of-00002\.safetensors is missing; model\.safetensors\.index\.json puts tensors into it/,
  )
  await rm(join(folder, 'config.json'))
  await expect(openModelFolder(folder)).rejects.toThrow(/config\.json is missing/)
})

it('reads one file rather than the shards of an index beside it, as transformers does', async () => {
  const { norm, other } = { norm: 'model.norm.weight', other: 'model-00001-of-00001.safetensors' }
  const ones = await openModelFolder(folder)
  const right = await readF32(ones.tensors.get(norm)!)
  const names = [...ones.tensors.keys(), ...ones.otherTensors.keys()]
  await ones.close()
  const bytes = await readFile(join(folder, 'model.safetensors'))
  await writeFile(join(folder, other), bytes.fill(0, 8 + Number(bytes.readBigUInt64LE(0))))
  await index(Object.fromEntries(names.map((name) => [name, other])))
  const model = await openModelFolder(folder)
  expect(await readF32(model.tensors.get(norm)!)).toEqual(right)
  await model.close()
  // Without it, the shards are the model: so the two differ here.
  await rm(join(folder, 'model.safetensors'))
  const shards = await openModelFolder(folder)
  expect(await readF32(shards.tensors.get(norm)!)).toEqual(new Float32Array(right.length))
  await shards.close()
})

it('refuses more layers than there are tensors', async () => {
  const file = join(folder, 'config.json')
  await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), num_hidden_layers: 100_000 }))
  await expect(openModelFolder(folder)).rejects.toThrow(/says that there are 100000 layers, and there are \d+ tensors/)
})

it('does not follow an index out of the folder', async () => {
  await rename(join(folder, 'model.safetensors'), join(scratch, 'secret.safetensors'))
  await index({ 'model.norm.weight': '../secret.safetensors' })
  await expect(openModelFolder(folder)).rejects.toThrow(/its shard is "\.\.\/secret\.safetensors"/)
})

it('refuses weights that are cut short, and a damaged config', async () => {
  await truncate(join(folder, 'model.safetensors'), 20_000)
  await expect(openModelFolder(folder)).rejects.toThrow(/model\.safetensors: tensor .* data_offsets should lie in order within/)
  await writeFile(join(folder, 'config.json'), '{"model_type": "qwen2", ')
  await expect(openModelFolder(folder)).rejects.toThrow(/config\.json is not valid JSON/)
})
