/**
 * Whatever the shape of a model, and whatever happens to other sequences in between, a sequence gives what it gives alone
 * and in one shot. Random configurations, random weights, random histories.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseModelConfig } from '../../checkpoint/index.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { writeRandomModel } from '../../testing/random-model.ts'
import type { Engine, Sequence } from '../index.ts'
import type { EngineKind } from './engine-kind.ts'

const vocabSize = 37

const base = {
  hidden_act: 'silu',
  vocab_size: vocabSize,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  max_position_embeddings: 512,
  num_hidden_layers: 2,
}
const streams = (n: number, tokens: number) => ({ parscale_n: n, parscale_n_tokens: tokens, parscale_attn_smooth: 0.05 })

/** Every way heads can be shared, odd sizes, head sizes that are not hidden / heads, windows shorter than a chunk. */
const shapes: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'multi-head, P = 2': {
    ...{ model_type: 'qwen2', hidden_size: 24, intermediate_size: 17, num_attention_heads: 3, num_key_value_heads: 3 },
    ...streams(2, 3),
    tie_word_embeddings: false,
  },
  'one key/value head of odd half, P = 3': {
    ...{
      model_type: 'llama',
      hidden_size: 20,
      intermediate_size: 33,
      num_attention_heads: 5,
      num_key_value_heads: 1,
      head_dim: 6,
    },
    ...streams(3, 1),
    ...{ attention_bias: true, mlp_bias: true, tie_word_embeddings: true },
  },
  'grouped heads wider than hidden, q/k norms with biases, P = 2': {
    ...{
      model_type: 'qwen3',
      hidden_size: 12,
      intermediate_size: 20,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      head_dim: 8,
    },
    ...streams(2, 5),
    ...{ attention_bias: true, tie_word_embeddings: true },
  },
  'window of 4 behind a prefix of 6, P = 2': {
    ...{ model_type: 'mistral', hidden_size: 16, intermediate_size: 24, num_attention_heads: 4, num_key_value_heads: 2 },
    ...streams(2, 6),
    ...{ sliding_window: 4, tie_word_embeddings: false },
  },
  'lora in every linear layer, static weights, P = 3': {
    ...{ model_type: 'llama', hidden_size: 16, intermediate_size: 24, num_attention_heads: 4, num_key_value_heads: 2 },
    ...streams(3, 0),
    ...{ parscale_input: 'lora', parscale_lora_rank: 2, parscale_aggregation: 'static', tie_word_embeddings: true },
  },
  'bitfit beside biases, averaged, P = 2': {
    ...{ model_type: 'qwen2', hidden_size: 16, intermediate_size: 24, num_attention_heads: 2, num_key_value_heads: 1 },
    ...streams(2, 0),
    ...{ parscale_input: 'bitfit', parscale_aggregation: 'average', tie_word_embeddings: false },
  },
  'scales, prefixes and gains, P = 2': {
    ...{ model_type: 'qwen3', hidden_size: 16, intermediate_size: 24, num_attention_heads: 4, num_key_value_heads: 2 },
    ...{
      ...streams(2, 2),
      head_dim: 6,
      attention_bias: false,
      parscale_input: ['prefix', 'scales', 'norms'],
      parscale_version: 2,
      tie_word_embeddings: true,
    },
  },
  'gated prefixes and a window of 3, P = 2': {
    ...{ model_type: 'mistral', hidden_size: 16, intermediate_size: 24, num_attention_heads: 4, num_key_value_heads: 2 },
    ...streams(2, 4),
    ...{ parscale_input: 'prefix', parscale_prefix_gate: true, sliding_window: 3, tie_word_embeddings: false },
  },
  'window of 1 in one of two layers, no streams': {
    ...{ model_type: 'qwen2', hidden_size: 16, intermediate_size: 24, num_attention_heads: 2, num_key_value_heads: 2 },
    ...{
      sliding_window: 1,
      use_sliding_window: true,
      layer_types: ['full_attention', 'sliding_attention'],
      tie_word_embeddings: true,
    },
  },
}

const ids = (maxLength: number) => fc.array(fc.nat(vocabSize - 1), { minLength: 1, maxLength })
/** What happens next, to the sequence (of those that are open) that `which` picks. */
const event = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('open' as const), plain: fc.boolean() }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('step' as const),
      pieces: fc.array(ids(9), { minLength: 1, maxLength: 4 }),
      which: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('long step' as const), ids: ids(80), which: fc.nat() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('fork' as const), which: fc.nat(), copies: fc.integer({ min: 1, max: 2 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('reorder' as const),
      which: fc.nat(),
      sources: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('truncate' as const), which: fc.nat(), length: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('close' as const), which: fc.nat() }) },
)

export function historiesContract(kind: EngineKind): void {
  describe.each(Object.entries(shapes))('%s', (_, shape) => historiesOf(kind, { ...base, ...shape }))
}

function historiesOf({ load, tolerance, refusal }: EngineKind, config: Readonly<Record<string, unknown>>): void {
  let folder: string
  let engine: Engine
  let largestP: number
  const refused = refusal?.(parseModelConfig(config))
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'parscale-random-'))
    await writeRandomModel(join(folder, 'model'), config)
    if (refused !== undefined) return
    engine = await load(join(folder, 'model'), { threads: 1 })
    largestP = engine.model.defaultP
  })
  afterAll(async () => {
    if (refused === undefined) await engine.model.dispose()
    rmSync(folder, { recursive: true })
  })

  if (refused !== undefined) {
    it(`is refused: ${refused}`, async () => {
      await expect(load(join(folder, 'model'), { threads: 1 })).rejects.toThrow(refused)
    })
    return
  }

  async function alone(tokens: readonly number[], p: number): Promise<Float32Array> {
    const sequence = engine.open({ p })
    const [out] = await engine.step([{ sequence, ids: tokens, want: 'last' }])
    engine.close(sequence)
    return out!.logits.slice()
  }

  it('gives a sequence what it gives alone, through any history', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(event, { minLength: 3, maxLength: 14 }), async (events) => {
        const open: Sequence[] = [engine.open()]
        const checks: { tokens: number[]; p: number; logits: Float32Array }[] = []
        const step = async (work: { sequence: Sequence; ids: readonly number[] }[]) => {
          const results = await engine.step(work.map((w) => ({ ...w, want: 'last' })))
          for (const [i, { sequence }] of work.entries())
            checks.push({ tokens: [...sequence.ids], p: sequence.p, logits: results[i]!.logits.slice() })
        }
        for (const e of events) {
          if (e.do === 'open') open.push(engine.open({ p: e.plain ? 1 : largestP }))
          const at = 'which' in e && open.length > 0 ? e.which % open.length : undefined
          if (at === undefined) continue
          const sequence = open[at]!
          if (e.do === 'step')
            await step(
              e.pieces.slice(0, open.length).map((piece, i) => ({ sequence: open[(at + i) % open.length]!, ids: piece })),
            )
          else if (e.do === 'long step') await step([{ sequence, ids: e.ids }])
          else if (e.do === 'fork') open.push(...engine.fork(sequence, e.copies))
          else if (e.do === 'truncate') engine.truncate(sequence, e.length)
          else if (e.do === 'close') engine.close(open.splice(at, 1)[0]!)
          else if (e.do === 'reorder') {
            const same = open.filter(({ p }) => p === sequence.p)
            engine.reorder(
              same,
              same.map((_, i) => same[e.sources[i % 3]! % same.length]!),
            )
          }
        }
        // Each goes on by one token, so that forks, truncations and reorderings at the end are seen too.
        if (open.length > 0) await step(open.map((sequence) => ({ sequence, ids: [3] })))
        for (const sequence of open) engine.close(sequence)
        for (const { tokens, p, logits } of checks)
          expect(maxDifference(logits, await alone(tokens, p))).toBeLessThanOrEqual(tolerance)
      }),
      { numRuns: 60, seed: 2, endOnFailure: true },
    )
  })
}
