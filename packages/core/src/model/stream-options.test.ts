/** The choices of streams beside the reference's: the training graph against numpy, and sets of every kind on one backbone. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parscaleKeys } from '../checkpoint/index.ts'
import { type Engine, logSoftmax, modelFiles } from '../generation/index.ts'
import { optionFixtures } from '../generation/testing/options-contract.ts'
import { openModelFolder } from '../node/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { loadEngine, maxDifference, readFixture } from '../testing/fixtures.ts'
import { writeRandomModel } from '../testing/random-model.ts'
import { LossEvaluation } from '../training/index.ts'
import { type ParscaleOptions, parscaleConfig } from './index.ts'

const tolerance = 1e-4

describe.each(optionFixtures)('%s', (name) => {
  it('gives the same in the training graph, for every sequence of a batch', async () => {
    const fixture = await readFixture(`options/${name}`)
    const array = (key: string) => fixture.arrays.get(key)!.data
    const open = await openModelFolder(fixture.folder)
    const { config, tied, findWeight } = await modelFiles(open)
    await open.close()
    const { input_ids: ids } = fixture.expected
    const shape = { sequences: 2, tokens: ids.length - 1 }
    const optimizer = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 } as const
    const plan = { config, tied, trainable: [], frozen: findWeight, shape, optimizer }
    const evaluation = await LossEvaluation.create(onnxRuntime({ threads: 2 }), plan)
    const surprisals = await evaluation.run({}, { ids: [...ids, ...ids] })
    await evaluation.dispose()
    const V = config.vocabSize
    const expected = ids.slice(1).map((id, t) => -logSoftmax(array('logits').subarray(t * V, (t + 1) * V))[id]!)
    expect(maxDifference(surprisals, [...expected, ...expected])).toBeLessThan(tolerance)
  })
})

describe('sets of every kind on one backbone', () => {
  const base = {
    ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: 37, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, rms_norm_eps: 1e-6, rope_theta: 10000, max_position_embeddings: 64 },
    tie_word_embeddings: true,
  }
  const sets: ParscaleOptions[] = [
    { n: 2, input: 'lora', loraRank: 3 },
    { n: 3, input: 'bitfit', aggregation: 'static' },
    { n: 4, input: 'lora', loraRank: 2, aggregation: 'average' },
    { n: 5, input: 'prefix', nTokens: 3, gate: true },
    { n: 6, input: ['scales', 'norms'] },
  ]
  let folder: string
  let folders: string[]
  let together: Engine

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parscale-'))
    folders = sets.map(({ n }) => join(folder, `p${n}`))
    // The backbone's weights follow from their place in the list of parameters, so they are the same in all.
    for (const [i, set] of sets.entries()) await writeRandomModel(folders[i]!, { ...base, ...parscaleKeys(parscaleConfig(set)) })
    together = await loadEngine(folders[0]!, { threads: 1 }, folders.slice(1))
  })
  afterAll(async () => {
    await together.dispose()
    await rm(folder, { recursive: true })
  })

  const prompt = (p: number) => Array.from({ length: 3 + p }, (_, i) => (7 * p + 5 * i * i) % 37)

  async function alone(engine: Engine, p: number) {
    const sequence = engine.open({ p })
    const [out] = await engine.step([{ sequence, ids: prompt(p), want: 'all' }])
    engine.close(sequence)
    return out!.logits
  }

  it('runs them and the plain model in one step, each as it runs alone', async () => {
    const ps = [1, 2, 3, 4, 5, 6]
    expect(together.model.availableP).toEqual(ps)
    const sequences = ps.map((p) => together.open({ p }))
    const out = await together.step(sequences.map((sequence) => ({ sequence, ids: prompt(sequence.p), want: 'all' })))
    for (const sequence of sequences) together.close(sequence)
    for (const p of ps) {
      const engine = await loadEngine(p === 1 ? folders[3]! : folders[p - 2]!, { threads: 1 })
      expect(maxDifference(out[p - 1]!.logits, await alone(engine, p)), `P = ${p}`).toBeLessThan(tolerance)
      await engine.dispose()
    }
    // What the streams do is seen: P = 1 on the same text is something else.
    const plain = together.open({ p: 1 })
    const [other] = await together.step([{ sequence: plain, ids: prompt(2), want: 'all' }])
    together.close(plain)
    expect(maxDifference(other!.logits, out[1]!.logits)).toBeGreaterThan(0.1)
  })

  it('takes a set of one stream for P = 1', async () => {
    const one = join(folder, 'p1')
    await writeRandomModel(one, { ...base, ...parscaleKeys(parscaleConfig({ n: 1, input: 'lora', loraRank: 2 })) })
    const [withSet, plain] = [await loadEngine(folders[0]!, { threads: 1 }, [one]), together]
    expect(withSet.model.availableP).toEqual([1, 2])
    expect(maxDifference(await alone(withSet, 2), await alone(plain, 2))).toBeLessThan(tolerance)
    expect(maxDifference(await alone(withSet, 1), await alone(plain, 1))).toBeGreaterThan(0.1)
    await withSet.dispose()
  })
})
