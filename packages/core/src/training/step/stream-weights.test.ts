/**
 * Streams by weights of their own against streams by passes over rows (model/adapters.ts): a batch of one sequence many times has the
 * loss and the gradients of that sequence alone, but is large enough for the other formulation.
 */
import { Tensor } from 'onnxruntime-common'
import { describe, expect, it } from 'vitest'
import { parseModelConfig } from '../../checkpoint/index.ts'
import {
  backboneParameters,
  elementCount,
  isFactor,
  type ModelConfig,
  parscaleConfig,
  type StreamInput,
  streamParameters,
} from '../../model/index.ts'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { createRandom } from '../../random.ts'
import { evaluationGraph, gradientGraph, lossFeeds, type TrainPlan } from '../index.ts'

const T = 5
const copies = 12
const kinds: readonly (readonly StreamInput[])[] = [
  ['scales'],
  ['lora'],
  ['bitfit', 'scales'],
  ['bitfit', 'lora', 'norms'],
  ['lora', 'scales'],
  ['bitfit', 'lora', 'norms', 'prefix', 'scales'],
]
const families = {
  biases: { model_type: 'qwen2', architectures: ['Qwen2ForCausalLM'] },
  fused: { model_type: 'phi3', architectures: ['Phi3ForCausalLM'], pad_token_id: 0, sliding_window: null },
} as const

function configOf(family: keyof typeof families, P: number, input: readonly StreamInput[]): ModelConfig {
  const config = parseModelConfig({
    ...families[family],
    vocab_size: 23,
    hidden_size: 12,
    intermediate_size: 18,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    hidden_act: 'silu',
    tie_word_embeddings: false,
  })
  return { ...config, parscale: parscaleConfig({ n: P, input, nTokens: 3, loraRank: 2 }) }
}

function planOf(config: ModelConfig, sequences: number, documentMask: boolean): TrainPlan {
  return {
    config,
    tied: false,
    trainable: [...backboneParameters(config, false), ...streamParameters(config)],
    frozen: (name) => {
      throw new Error(`${name}: everything is trained`)
    },
    shape: { sequences, tokens: T },
    documentMask,
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
  }
}

/** Of `sequences` times the same sequence: loss and gradients by name; and how many products have weights that streams share. */
async function gradientsOf(config: ModelConfig, sequences: number, documentMask: boolean) {
  const plan = planOf(config, sequences, documentMask)
  const random = createRandom(3)
  const parameters = plan.trainable.map(({ name, shape, part }) => {
    const around = part === 'norm' || isFactor(name) ? 1 : 0
    const data = Float32Array.from({ length: elementCount(shape) }, () => around + 0.3 * random.normal())
    return [name, new Tensor('float32', data, shape)] as const
  })
  const one = Array.from({ length: T + 1 }, (_, i) => (5 + 7 * i * i) % config.vocabSize)
  const ids = Array.from({ length: sequences }, () => one).flat()
  const documents = ids.map((_, i) => Number(i % (T + 1) > 2))
  const feeds = { ...Object.fromEntries(parameters), ...lossFeeds(plan)([documentMask ? { ids, documents } : { ids }])[0] }
  const runtime = onnxRuntime({ threads: 1 })
  const graph = gradientGraph(plan)
  const session = await runtime.createSession(graph)
  const out = await session.run(feeds)
  await session.dispose()
  const { loss_weights: _, ...evaluated } = feeds as Record<string, Tensor>
  const evaluation = await runtime.createSession(evaluationGraph(plan))
  const { surprisals } = await evaluation.run(evaluated)
  await evaluation.dispose()
  return {
    loss: Number(out.loss!.data[0]),
    grads: new Map(plan.trainable.map(({ name }) => [name, out[`next.gradient.${name}`]!.data as Float32Array])),
    surprisals: (surprisals!.data as Float32Array).slice(0, T),
    sharedProducts: graph.nodes.filter(({ name, op }) => op === 'Gemm' && /^layers/.test(name) && !/adapter/.test(name)).length,
  }
}

describe.each(Object.keys(families) as (keyof typeof families)[])('%s', (family) => {
  for (const P of [1, 2, 3, 4])
    it.each(kinds.map((input) => [input.join('+'), input] as const))(`P=${P} by %s`, async (_, input) => {
      const config = configOf(family, P, input)
      const documentMask = P === 3
      const byRows = await gradientsOf(config, 1, documentMask)
      const byWeights = await gradientsOf(config, copies, documentMask)
      expect(byRows.sharedProducts).toBe(family === 'fused' ? 8 : 14)
      expect(byWeights.sharedProducts).toBe(0)
      expect(Math.abs(byWeights.loss - byRows.loss)).toBeLessThan(2e-6)
      for (const [t, x] of byRows.surprisals.entries()) expect(Math.abs(byWeights.surprisals[t]! - x)).toBeLessThan(1e-5)
      for (const [name, expected] of byRows.grads) {
        const scale = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3)
        const found = byWeights.grads.get(name)!
        expect(found.length).toBe(expected.length)
        const apart = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - found[i]!)), 0)
        expect(apart / scale, name).toBeLessThan(1e-4)
      }
    })
})
