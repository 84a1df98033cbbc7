/**
 * Streams that share keys and values (model/own-window.ts), against the definition taken literally: the backbone as it is without them,
 * token by token, where a place of a stream's cache is overwritten by the first stream's as soon as it has left the window. Then training
 * and the engine over graphs have to give the same.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tensor } from 'onnxruntime-common'
import { afterAll, describe, expect, it } from 'vitest'
import { parscaleKeys } from '../../checkpoint/parscale-keys.ts'
import { adapterBank, firstAdapters } from '../../generation/adapter-bank.ts'
import { batchFeeds, modelFiles } from '../../generation/index.ts'
import {
  backboneGraph,
  type KvType,
  type ParscaleOptions,
  parscaleConfig,
  RopeTable,
  streamParameters,
  writePrefix,
} from '../../model/index.ts'
import { openModelFolder } from '../../node/index.ts'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { createRandom } from '../../random.ts'
import { loadEngine, maxDifference } from '../../testing/fixtures.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import { evaluationGraph, gradientGraph, LossEvaluation, type TokenBatch, type TrainPlan } from '../index.ts'

const runtime = onnxRuntime({ threads: 1 })
const scratch = mkdtempSync(join(tmpdir(), 'parscale-window-'))
afterAll(() => rmSync(scratch, { recursive: true }))

const plain = {
  model_type: 'llama',
  vocab_size: 23,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
}
const T = 11
const V = plain.vocab_size
/** One token more than is predicted from. */
const random = createRandom(3)
const tokens = Array.from({ length: T + 1 }, () => random.below(V))

interface Case {
  readonly streams: ParscaleOptions
  readonly json?: Record<string, unknown>
}
const cases: Readonly<Record<string, Case>> = {
  'scales, gains and biases, window of 3': { streams: { n: 3, input: ['scales', 'norms', 'bitfit'], ownWindow: 3 } },
  'prefixes, window of 1': { streams: { n: 2, nTokens: 3, ownWindow: 1 } },
  'gated prefixes and scales, window of 4, averaged': {
    streams: { n: 2, input: ['prefix', 'scales'], nTokens: 2, gate: true, aggregation: 'average', ownWindow: 4 },
  },
  'lora in layers with a sliding window of 6, window of 4': {
    streams: { n: 4, input: 'lora', loraRank: 2, merge: 'probabilities', ownWindow: 4 },
    json: { model_type: 'mistral', sliding_window: 6 },
  },
  'a window as long as the text': { streams: { n: 2, input: 'scales', ownWindow: T } },
}
const write = async (name: string, { streams, json }: Case): Promise<string> => {
  const folder = join(scratch, name.replaceAll(' ', '-'))
  await writeRandomModel(folder, { ...plain, ...json, ...parscaleKeys(parscaleConfig(streams)) })
  return folder
}
const open = async (folder: string) => {
  const opened = await openModelFolder(folder)
  const files = await modelFiles(opened)
  await opened.close()
  return files
}
type Files = Awaited<ReturnType<typeof open>>

/** Hidden states of all streams, [T, P, hidden]. */
async function literally({ config, findWeight, streamSets }: Files, window: number): Promise<Float32Array> {
  const { numHiddenLayers: L, numKeyValueHeads: K, headDim: D, hiddenSize: H } = config
  const [set] = streamSets
  const { n: P, nTokens } = set!.config.parscale
  const bank = adapterBank(streamSets)
  const adapters = new Map([...bank].map(([name, { shape }]) => [name, shape]))
  const session = await runtime.createSession(backboneGraph(config, findWeight, { adapters }))
  const C = nTokens + T
  const names = Array.from({ length: L }, (_, layer) => [`${layer}.key`, `${layer}.value`]).flat()
  const cache = new Map(names.map((name) => [name, new Float32Array(P * K * C * D)]))
  const at = (row: number, head: number, place: number) => ((row * K + head) * C + place) * D
  for (let row = 0; row < P; row++)
    writePrefix(set!.prefixes, row, (layer, key, value) => {
      for (const [name, from] of [
        [`${layer}.key`, key],
        [`${layer}.value`, value],
      ] as const)
        for (let head = 0; head < K; head++)
          cache.get(name)!.set(from.subarray(head * nTokens * D, (head + 1) * nTokens * D), at(row, head, 0))
    })
  const first = firstAdapters(streamSets)[0]!
  const ids = BigInt64Array.from({ length: P }, (_, p) => BigInt(first > 0 ? first + p : 0))
  const own = {
    ...Object.fromEntries([...bank].map(([name, { shape, values }]) => [name, new Tensor('float32', values, shape)])),
    ...(bank.size > 0 && { stream_ids: new Tensor('int64', ids, [P]) }),
  }
  const rope = new RopeTable(config)
  const hidden = new Float32Array(T * P * H)
  for (let t = 0; t < T; t++) {
    const left = nTokens + t - window
    if (left >= nTokens)
      for (const values of cache.values())
        for (let row = 1; row < P; row++)
          for (let head = 0; head < K; head++) {
            const shared = at(0, head, left)
            values.copyWithin(at(row, head, left), shared, shared + D)
          }
    const rows = set!.prefixScores.map((prefixScore) => ({
      ids: [tokens[t]!],
      prefix: nTokens,
      prefixScore,
      length: t,
      firstPosition: 0,
    }))
    const past = names.map((name) => [`past.${name}`, new Tensor('float32', cache.get(name)!, [P, K, C, D])])
    const out = await session.run({ ...batchFeeds(config, rope, rows, C), ...Object.fromEntries(past), ...own })
    hidden.set(out.hidden!.data as Float32Array, t * P * H)
    for (const name of names)
      for (let row = 0; row < P; row++)
        for (let head = 0; head < K; head++) {
          const from = (row * K + head) * D
          cache
            .get(name)!
            .set((out[`present.${name}`]!.data as Float32Array).subarray(from, from + D), at(row, head, nTokens + t))
        }
  }
  await session.dispose()
  return hidden
}

/** Nothing is trained. */
const planOf = ({ config, tied, findWeight, streamSets }: Files, sequences: number, documentMask = false): TrainPlan => ({
  config: { ...config, parscale: streamSets[0]!.config.parscale },
  tied,
  trainable: [],
  frozen: findWeight,
  shape: { sequences, tokens: T },
  optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
  documentMask,
})

async function surprisals(plan: TrainPlan, batch: TokenBatch): Promise<Float32Array> {
  const evaluation = await LossEvaluation.create(runtime, plan)
  const result = await evaluation.run({}, batch)
  await evaluation.dispose()
  return result.slice()
}

const ofLogits = (logits: Float32Array) =>
  Array.from({ length: T }, (_, t) => {
    const row = logits.subarray(t * V, (t + 1) * V)
    return Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0)) - row[tokens[t + 1]!]!
  })

describe.each(Object.entries(cases))('%s', (name, given) => {
  it('is the same in training, in the engine over graphs, and literally', async () => {
    const folder = await write(name, given)
    const files = await open(folder)
    const expected = await literally(files, given.streams.ownWindow!)
    const trained = await surprisals(planOf(files, 1), { ids: tokens })
    // Pieces of a prompt, then single tokens, beside another sequence, so that its rows are not the first; each by a copy of what was there.
    for (const pieces of [[T], [4, 5, 1, 1], new Array<number>(T).fill(1)]) {
      const engine = await loadEngine(folder, { threads: 1 })
      const other = engine.open()
      let sequence = engine.open()
      const [hidden, logits]: number[][] = [[], []]
      for (let i = 0, start = 0; i < pieces.length; start += pieces[i++]!) {
        const ids = tokens.slice(start, start + pieces[i]!)
        const [, out] = await engine.step([
          { sequence: other, ids: [5, 6, 7].slice(i % 3), want: 'none' },
          { sequence, ids, want: 'all' },
        ])
        hidden!.push(...out!.streams)
        logits!.push(...out!.logits)
        const [copy] = engine.fork(sequence, 1)
        engine.close(sequence)
        sequence = copy!
      }
      await engine.dispose()
      expect(maxDifference(hidden!, expected)).toBeLessThan(1e-5)
      expect(maxDifference(ofLogits(Float32Array.from(logits!)), trained)).toBeLessThan(1e-5)
    }
  })
})

it('rounds shared keys and values as it rounds own ones', async () => {
  const [name, given] = Object.entries(cases)[0]!
  const folder = await write(`${name} rounded`, given)
  const logits = async (kv: KvType) => {
    const engine = await loadEngine(folder, { threads: 1, kv })
    const sequence = engine.open()
    const found: number[] = []
    for (const id of tokens) found.push(...(await engine.step([{ sequence, ids: [id], want: 'last' }]))[0]!.logits)
    await engine.dispose()
    return found
  }
  const exact = await logits('f32')
  const scale = Math.max(...exact.map(Math.abs))
  expect(maxDifference(exact, await logits('f16'))).toBeLessThan(0.002 * scale)
  expect(maxDifference(exact, await logits('int8'))).toBeLessThan(0.03 * scale)
})

it('builds the graphs of streams that share nothing where no token lies behind the window', async () => {
  const files = await open(await write('long', cases['a window as long as the text']!))
  const shared = { ...planOf(files, 2), trainable: streamParameters(files.streamSets[0]!.config) }
  const { parscale } = shared.config
  const apart = { ...shared, config: { ...shared.config, parscale: { ...parscale, ownWindow: null } } }
  expect(evaluationGraph(shared)).toEqual(evaluationGraph(apart))
  expect(gradientGraph(shared)).toEqual(gradientGraph(apart))
  const ids = [...tokens, ...tokens.toReversed()]
  const untrained = (plan: TrainPlan) => surprisals({ ...plan, trainable: [] }, { ids })
  expect(await untrained(shared)).toEqual(await untrained(apart))
  const shorter = { ...shared, config: { ...shared.config, parscale: { ...parscale, ownWindow: 3 } } }
  expect(maxDifference(await untrained(shorter), await untrained(apart))).toBeGreaterThan(1e-3)
})

it('never sees what comes later or another document, near or far', async () => {
  for (const [name, given] of Object.entries(cases)) {
    const files = await open(await write(`${name} documents`, given))
    const plan = planOf(files, 1, true)
    const border = 5
    const documents = tokens.map((_, t) => Number(t >= border))
    const base = await surprisals(plan, { ids: tokens, documents })
    for (let changed = 0; changed <= T; changed++) {
      const ids = tokens.map((id, t) => (t === changed ? (id + 1) % V : id))
      const moved = (await surprisals(plan, { ids, documents })).map((x, t) => Math.abs(x - base[t]!))
      // What is predicted at t has been read from tokens up to t; the target itself is token t + 1.
      for (const [t, by] of moved.entries()) {
        if (t + 1 === changed) continue
        const reads = changed <= t && documents[changed] === documents[t]
        if (reads) expect(by, `${name}: token ${changed} moves ${t}`).toBeGreaterThan(0)
        else expect(by, `${name}: token ${changed} is not seen at ${t}`).toBe(0)
      }
    }
  }
})
