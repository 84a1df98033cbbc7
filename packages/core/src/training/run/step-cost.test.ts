import { describe, expect, it } from 'vitest'
import { parseModelConfig } from '../../checkpoint/index.ts'
import { countParameters, trainingFlopsPerToken } from '../../cost/index.ts'
import { GraphBuilder } from '../../graph/index.ts'
import { backboneParameters, type ParscaleOptions, parscaleConfig, streamParameters } from '../../model/index.ts'
import type { TrainPlan } from '../step/graphs.ts'
import { peakBytes, stepFlops } from './step-cost.ts'

describe('peakBytes', () => {
  it('counts what is alive at the worst moment: views and values written over for nothing, inputs and outputs never', () => {
    const g = new GraphBuilder('chain')
    const x = g.input('x', 'float32', [4, 256])
    const wide = g.matMul(x, g.input('w', 'float32', [256, 1024])) // 16 KiB
    const root = g.sqrt(g.reshape(wide, [1024, 4])) // in place
    const sum = g.reduceSum(root, [1]) // 4 KiB, while root is still there
    g.output(g.neg(sum), 'y')
    expect(peakBytes(g.build())).toBe((16 + 4) * 1024)
  })

  it('keeps a value until its last reader', () => {
    const g = new GraphBuilder('kept')
    const a = g.sqrt(g.input('x', 'float32', [256])) // 1 KiB
    const b = g.sqrt(a) // a is read again: 2 KiB
    const c = g.concat([b, b], 0) // 2 KiB, beside a and b
    g.output(g.add(g.reduceSum(c, [0]), a), 'y')
    expect(peakBytes(g.build())).toBe(4 * 1024)
  })
})

const model = parseModelConfig({
  ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: 512, hidden_size: 64, intermediate_size: 160, num_hidden_layers: 3 },
  ...{ num_attention_heads: 4, num_key_value_heads: 2, rms_norm_eps: 1e-6, rope_theta: 1e4, max_position_embeddings: 64 },
})

// The products of the graph that trains, counted one by one, against the formula of the cost room.
it.each<ParscaleOptions>([
  { n: 1 },
  { n: 1, input: 'lora', loraRank: 8 },
  { n: 4, nTokens: 8 },
  { n: 4, input: 'scales' },
  { n: 4, input: ['lora', 'norms', 'bitfit'], loraRank: 8, aggregation: 'average' },
  { n: 4, input: 'scales', merge: 'probabilities' },
  { n: 4, input: 'lora', loraRank: 4, aggregation: 'static', merge: 'probabilities' },
])('the cost of training is what the graph of %j multiplies', (streams) => {
  const config = { ...model, parscale: parscaleConfig(streams) }
  const { n: P, nTokens, loraRank } = config.parscale
  const [sequences, tokens] = [2, 32]
  const trainable = [...backboneParameters(config, true), ...streamParameters(config)]
  const frozen = () => {
    throw new Error('nothing is frozen')
  }
  const optimizer = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 }
  const plan = { config, tied: true, shape: { sequences, tokens }, trainable, frozen, optimizer } as unknown as TrainPlan
  const shape = { ...config, tiedEmbeddings: true, prefixTokens: nTokens, streams: config.parscale }
  const formula = sequences * tokens * trainingFlopsPerToken(shape, P, tokens)
  // The formula has causal attention and products with vectors besides; the graph multiplies all keys, and vectors without a product.
  const [q, L] = [config.numAttentionHeads * config.headDim, config.numHiddenLayers]
  const unseen = 3 * sequences * tokens * P * 4 * L * q * ((tokens - 1) / 2)
  const low = loraRank * trainable.filter(({ name }) => /lora_A$/.test(name)).reduce((sum, { shape }) => sum + shape[2]!, 0)
  const high = loraRank * trainable.filter(({ name }) => /lora_B$/.test(name)).reduce((sum, { shape }) => sum + shape[1]!, 0)
  const vectors = 3 * sequences * tokens * 2 * (countParameters(shape, P).adapters - P * (low + high))
  const expected = formula + unseen - vectors
  // Mixtures, and gradients that nobody asks for, are the rest.
  expect(stepFlops(plan) / expected).toBeGreaterThan(0.97)
  expect(stepFlops(plan) / expected).toBeLessThan(1.03)
})
