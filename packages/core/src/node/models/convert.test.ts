import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { castBytes, readChunks } from '../../checkpoint/read-tensor.ts'
import type { StoredDType, StoredTensor } from '../../checkpoint/tensor.ts'
import { join as joinBytes } from '../../checkpoint/testing/bytes.ts'
import { verifySameBackbone } from './backbone-digest.ts'
import { convertModel } from './convert.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'

const fixture = (path: string) => fileURLToPath(new URL(`../../../../../fixtures/${path}`, import.meta.url))
let scratch: string
let target: string
const open: ModelFolder[] = []
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
  target = join(scratch, 'out')
})
afterEach(async () => {
  for (const model of open.splice(0)) await model.close()
  await rm(scratch, { recursive: true })
})

async function opened(path: string): Promise<ModelFolder> {
  const model = await openModelFolder(path)
  open.push(model)
  return model
}

async function stored(tensor: StoredTensor): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of readChunks(tensor)) parts.push(chunk)
  return joinBytes(...parts)
}

/** Same names, shapes and bits, the latter after casting the original. */
async function expectSame(original: ModelFolder, written: ModelFolder, dtype?: StoredDType) {
  expect(new Set(written.tensors.keys())).toEqual(new Set(original.tensors.keys()))
  for (const [name, tensor] of written.tensors) {
    const source = original.tensors.get(name)!
    expect([name, tensor.dtype, tensor.shape]).toEqual([name, dtype ?? source.dtype, source.shape])
    const expected = castBytes(await stored(source), source.dtype, dtype ?? source.dtype)
    expect(Buffer.compare(await stored(tensor), expected), name).toBe(0)
  }
}

describe.each(['parscale-p4', 'parscale-p8-bf16'])('the golden %s', (name) => {
  const source = fixture(`goldens/${name}`)

  it('is bit-equal after conversion in one file', async () => {
    await convertModel(source, target)
    await expectSame(await opened(source), await opened(target))
    expect((await readdir(target)).sort()).toEqual(['config.json', 'model.safetensors'])
    expect(await readFile(join(target, 'config.json'), 'utf8')).toBe(await readFile(join(source, 'config.json'), 'utf8'))
  })

  it('is bit-equal in shards', async () => {
    await convertModel(source, target, { maxShardBytes: 100_000 })
    const files = await readdir(target)
    expect(files.filter((file) => file.endsWith('.safetensors')).length).toBeGreaterThan(2)
    expect(files).toContain('model.safetensors.index.json')
    await expectSame(await opened(source), await opened(target))
  })

  it.each(['F32', 'F16', 'BF16'] as const)('becomes %s, and says so in config.json', async (dtype) => {
    await convertModel(source, target, { dtype })
    const written = await opened(target)
    await expectSame(await opened(source), written, dtype)
    const { torch_dtype, dtype: newer } = written.configJson
    expect(newer ?? torch_dtype).toBe({ F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype])
  })
})

it('a GGUF file becomes the folder it came from', async () => {
  await convertModel(fixture('gguf/llama-linear.gguf'), target)
  await expectSame(await opened(fixture('transformers/llama-linear')), await opened(target))
})

it('takes the tokenizer, remote code and licence along, and no other files', async () => {
  const source = join(scratch, 'source')
  await cp(fixture('goldens/parscale-p2'), source, { recursive: true })
  const companions = [
    'tokenizer.json',
    'tokenizer_config.json',
    'chat_template.jinja',
    'generation_config.json',
    'merges.txt',
    'modeling_x.py',
    'LICENSE',
  ]
  for (const name of [...companions, 'pytorch_model.bin', 'optimizer.pt']) await writeFile(join(source, name), name)
  await convertModel(source, target)
  expect(new Set(await readdir(target))).toEqual(new Set([...companions, 'config.json', 'model.safetensors']))
  expect(await readFile(join(target, 'tokenizer.json'), 'utf8')).toBe('tokenizer.json')
})

it.each(['keep', 'F32'] as const)('takes stream sets along, which fit what is written (%s)', async (dtype) => {
  const source = fileURLToPath(new URL('../../../../parscale/models/small', import.meta.url))
  await convertModel(source, target, { dtype })
  expect(await readdir(join(target, 'streams'))).toEqual(['p2', 'p4', 'p8'])
  const set = await opened(join(target, 'streams', 'p4'))
  await expectSame(await opened(join(source, 'streams', 'p4')), set, dtype === 'keep' ? undefined : dtype)
  await verifySameBackbone(await opened(target), [set])
  if (dtype === 'keep') return
  // The floats are others than the set was trained on.
  await expect(verifySameBackbone(await opened(source), [set])).rejects.toThrow(/was trained on another backbone/)
})

it('refuses a target that is taken, and a source that is nothing', async () => {
  await convertModel(fixture('goldens/parscale-p2'), target)
  await expect(convertModel(fixture('goldens/parscale-p1'), target)).rejects.toThrow(/is not empty; nothing is overwritten/)
  await expect(convertModel(join(scratch, 'nothing'), join(scratch, 'b'))).rejects.toThrow(/there is no such file or folder/)
  expect(await readdir(scratch)).toEqual(['out'])
})
