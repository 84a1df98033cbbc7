/** What is exported is what was trained: tensors bit for bit, logits to the last digit, and streams that know their backbone. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isTied, type ModelConfig, readF32 } from '@parscale/core/internal/checkpoint'
import { backboneParameters, streamParameters } from '@parscale/core/internal/model'
import { convertModel, exportModel, exportStreamSet, type ModelFolder, openModelFolder } from '@parscale/core/internal/node'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fixturesFolder, loadEngine, maxDifference } from '../../../core/src/testing/fixtures.ts'
import { writeRandomModel } from '../../../core/src/testing/random-model.ts'
import { loadModel } from '../load/load.ts'
import { openModel } from '../load/open-model.ts'

let scratch: string
let count = 0
const fresh = () => join(scratch, String(count++))
beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-export-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

const ids = [5, 3, 8, 1, 1, 30, 2]

async function logits(folder: string, streamFolders: readonly string[] = [], p?: number): Promise<Float32Array> {
  const engine = await loadEngine(folder, {}, streamFolders)
  const sequence = engine.open(p === undefined ? {} : { p })
  const [out] = await engine.step([{ sequence, ids, want: 'all' }])
  const copy = out!.logits.slice()
  await engine.model.dispose()
  return copy
}

/** A model as a trainer has it: every parameter an array of float32. */
async function trained(folder: string): Promise<{ config: ModelConfig; tied: boolean; parameters: Map<string, Float32Array> }> {
  const open = await openModelFolder(folder)
  const { config } = open
  const tied = isTied(open)
  const list = [...backboneParameters(config, tied), ...streamParameters(config)]
  const parameters = new Map<string, Float32Array>()
  for (const { name } of list) parameters.set(name, await readF32(open.tensors.get(name)!))
  await open.close()
  return { config, tied, parameters }
}

/** What a stream set's parameters are, without the backbone's. */
async function trainedStreams(folder: string) {
  const { config, parameters } = await trained(folder)
  return { config, parameters: new Map(streamParameters(config).map(({ name }) => [name, parameters.get(name)!])) }
}

async function withFolder<T>(folder: string, look: (open: ModelFolder) => Promise<T>): Promise<T> {
  const open = await openModelFolder(folder)
  return await look(open).finally(() => open.close())
}

const shape = {
  model_type: 'llama',
  vocab_size: 37,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  hidden_act: 'silu',
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  max_position_embeddings: 128,
  tie_word_embeddings: true,
}
const streams = (n: number) => ({ parscale_n: n, parscale_n_tokens: 3, parscale_attn_smooth: 0.1 })

/** A plain backbone, and models with it and P streams: random-model.ts draws equal backbones. */
async function family(...ps: number[]): Promise<{ backbone: string; sets: string[] }> {
  const [backbone, ...sets] = [undefined, ...ps].map((p) => ({ folder: fresh(), p }))
  await writeRandomModel(backbone!.folder, shape)
  for (const { folder, p } of sets) await writeRandomModel(folder, { ...shape, ...streams(p!) })
  return { backbone: backbone!.folder, sets: sets.map(({ folder }) => folder) }
}

describe('a whole model', () => {
  it.each(['qwen2-p1', 'parscale-p2', 'parscale-p4'])('%s: the same bits and the same logits', async (name) => {
    const source = `${fixturesFolder}goldens/${name}`
    const target = fresh()
    await exportModel(target, { ...(await trained(source)), files: new Map([['tokenizer.json', new Uint8Array([123, 125])]]) })
    expect((await readdir(target)).sort()).toEqual([
      'config.json',
      'generation_config.json',
      'model.safetensors',
      'tokenizer.json',
    ])
    expect((await trained(target)).parameters).toEqual((await trained(source)).parameters)
    expect(maxDifference(await logits(target), await logits(source))).toBe(0)
  })

  it('of a fresh Qwen2 with streams bears the name of the reference', async () => {
    const source = fresh()
    const target = fresh()
    await writeRandomModel(source, { ...shape, model_type: 'qwen2', ...streams(2) })
    const model = await trained(source)
    await exportModel(target, { ...model, config: { ...model.config, raw: {} } })
    const json = JSON.parse(readFileSync(join(target, 'config.json'), 'utf8'))
    expect(json).toMatchObject({ model_type: 'qwen2_parscale', ...streams(2), torch_dtype: 'float32' })
    expect(maxDifference(await logits(target), await logits(source))).toBe(0)
  })

  it.each(['F16', 'BF16'] as const)('in %s: each number rounded to the nearest, ties to even', async (dtype) => {
    const source = `${fixturesFolder}goldens/parscale-p2`
    const [target, converted] = [fresh(), fresh()]
    await exportModel(target, await trained(source), { dtype })
    await convertModel(source, converted, { dtype })
    expect((await trained(target)).parameters).toEqual((await trained(converted)).parameters)
    const written = await withFolder(target, async ({ tensors, configJson }) => ({
      dtypes: new Set([...tensors.values()].map((tensor) => tensor.dtype)),
      name: configJson.torch_dtype,
    }))
    expect(written).toEqual({ dtypes: new Set([dtype]), name: { F16: 'float16', BF16: 'bfloat16' }[dtype] })
  })

  it('takes what was frozen from the base, as it is stored there', async () => {
    const { backbone, sets } = await family(2)
    const [narrow, target] = [fresh(), fresh()]
    await convertModel(backbone, narrow, { dtype: 'BF16' })
    const model = await trainedStreams(sets[0]!)
    await withFolder(narrow, (base) => exportModel(target, { ...model, tied: true, base }))
    const dtypeOf = async (name: string) => withFolder(target, async ({ tensors }) => tensors.get(name)?.dtype)
    expect(await dtypeOf('model.norm.weight')).toBe('BF16')
    expect(await dtypeOf('model.layers.0.self_attn.prefix_k')).toBe('F32')
    const alone = fresh()
    await withFolder(narrow, (base) => exportStreamSet(alone, model, base))
    expect(maxDifference(await logits(target, [], 2), await logits(narrow, [alone], 2))).toBe(0)
  })
})

describe('a stream set apart from its backbone', () => {
  it('is the streams, and is accepted by that backbone alone', async () => {
    const { backbone, sets } = await family(2)
    const target = fresh()
    await withFolder(backbone, async (base) => exportStreamSet(target, await trainedStreams(sets[0]!), base))
    const names = await withFolder(target, async ({ tensors }) => [...tensors.keys()])
    expect(names.filter((name) => !/prefix_[kv]|aggregate_layer/.test(name))).toEqual([])
    const open = await openModel(backbone, { streamSets: [target] })
    await open.close()
    expect(maxDifference(await logits(backbone, [target], 2), await logits(sets[0]!, [], 2))).toBe(0)
    const other = fresh()
    await writeRandomModel(other, shape, (name, values) => name === 'model.norm.weight' && values.fill(2))
    await expect(openModel(other, { streamSets: [target] })).rejects.toThrow(/was trained on another backbone/)
  })

  it('needs streams', async () => {
    const { backbone } = await family()
    await withFolder(backbone, async (base) => {
      const plain = { config: base.config, parameters: new Map() }
      await expect(exportStreamSet(fresh(), plain, base)).rejects.toThrow(/P = 1 has no stream set/)
    })
  })
})

describe('several stream sets in one folder with their backbone', () => {
  it.each(['keep', 'BF16'] as const)('dtype %s: each P as it was, and the hashes are of what is written', async (dtype) => {
    const { backbone, sets } = await family(2, 3)
    const target = fresh()
    const streamSets = [await trainedStreams(sets[0]!), await trainedStreams(sets[1]!)]
    await exportModel(target, { ...(await trained(backbone)), streamSets }, { dtype })
    expect((await readdir(join(target, 'streams'))).sort()).toEqual(['p2', 'p3'])
    const { model, close } = await loadModel(target)
    expect(model.availableP).toEqual([1, 2, 3])
    await model.dispose()
    await close()
    for (const [i, p] of [2, 3].entries()) {
      const source = fresh()
      await convertModel(sets[i]!, source, { dtype })
      const found = await logits(target, [join(target, 'streams', `p${p}`)], p)
      expect(maxDifference(found, await logits(source, [], p))).toBe(0)
    }
  })

  it('has one set per P', async () => {
    const { backbone, sets } = await family(2)
    const set = await trainedStreams(sets[0]!)
    const twice = exportModel(fresh(), { ...(await trained(backbone)), streamSets: [set, set] })
    await expect(twice).rejects.toMatchObject({ kind: 'usage', message: expect.stringContaining('two stream sets with P = 2') })
  })
})

describe('refuses, and leaves nothing behind', () => {
  const wrongly: [string, RegExp, (parameters: Map<string, Float32Array>) => void][] = [
    [
      'a missing parameter',
      /model\.norm\.weight with shape \[16\] is missing; nobody has it/,
      (p) => p.delete('model.norm.weight'),
    ],
    ['a strange parameter', /parameter model\.nonsense has no place/, (p) => p.set('model.nonsense', new Float32Array(1))],
    [
      'a wrong size',
      /model\.norm\.weight of shape \[16\] takes 16 numbers, got 3/,
      (p) => p.set('model.norm.weight', new Float32Array(3)),
    ],
    ['numbers too large', /model\.norm\.weight holds numbers too large for F16/, (p) => p.get('model.norm.weight')!.fill(1e5)],
  ]
  it.each(wrongly)('%s', async (_, message, spoil) => {
    const { backbone } = await family()
    const model = await trained(backbone)
    spoil(model.parameters)
    const target = fresh()
    await expect(exportModel(target, model, { dtype: 'F16' })).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringMatching(message),
    })
    await expect(readdir(target)).rejects.toThrow(/ENOENT/)
  })
})

it('rounds ties to even', async () => {
  const { backbone } = await family()
  const model = await trained(backbone)
  // 1 + 2^-8 lies between 1 and 1 + 2^-7, and 1 + 3 x 2^-8 between that and 1 + 2^-6; the even ones are 1 and 1 + 2^-6.
  model.parameters.get('model.norm.weight')!.set([1 + 2 ** -8, 1 + 3 * 2 ** -8, -1 - 2 ** -8, 1 + 2 ** -8 + 2 ** -20])
  const target = fresh()
  await exportModel(target, model, { dtype: 'BF16' })
  const found = (await trained(target)).parameters.get('model.norm.weight')!
  expect([...found.subarray(0, 4)]).toEqual([1, 1 + 2 ** -6, -1, 1 + 2 ** -7])
})
