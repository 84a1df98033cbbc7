/** What the bench of training trains: models, their weights and their data. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { writeSafetensors } from '@parscale/core/internal/checkpoint'
import {
  backboneParameters,
  type ModelConfig,
  type Parameter,
  parscaleConfig,
  plainFeatures,
  type StreamInput,
  streamParameters,
} from '@parscale/core/internal/model'
import type { TrainPlan } from '@parscale/core/internal/training'
import { randomTensors } from '../packages/core/src/testing/random-model.ts'

export interface Case {
  readonly model: string
  readonly p: number
  /** What tells streams apart, beside PyTorch the prefix. */
  readonly streams?: readonly StreamInput[]
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly layers: number
  readonly vocabSize: number
  /** B and T. */
  readonly sequences: number
  readonly tokens: number
}

const models = {
  '50k': { hiddenSize: 64, intermediateSize: 192, layers: 1, vocabSize: 96, sequences: 32, tokens: 64 },
  '1M': { hiddenSize: 128, intermediateSize: 384, layers: 4, vocabSize: 1024, sequences: 8, tokens: 256 },
  '10M': { hiddenSize: 320, intermediateSize: 896, layers: 6, vocabSize: 4096, sequences: 8, tokens: 256 },
  '100M': { hiddenSize: 768, intermediateSize: 2048, layers: 12, vocabSize: 16384, sequences: 2, tokens: 256 },
}

export const cases: readonly Case[] = Object.entries(models).flatMap(([model, shape]) =>
  [1, 2, 4, 8].map((p) => ({ model, p, ...shape })),
)

const headDim = 64

export function casePlan(c: Case): TrainPlan {
  const config: ModelConfig = {
    modelType: 'qwen2_parscale',
    vocabSize: c.vocabSize,
    hiddenSize: c.hiddenSize,
    intermediateSize: c.intermediateSize,
    numHiddenLayers: c.layers,
    numAttentionHeads: c.hiddenSize / headDim,
    numKeyValueHeads: c.hiddenSize / headDim,
    headDim,
    rmsNormEps: 1e-6,
    ropeTheta: 10_000,
    ropeScaling: { type: 'default' },
    maxPositionEmbeddings: c.tokens,
    tieWordEmbeddings: true,
    attentionBias: { qkv: true, o: false },
    mlpBias: false,
    qkNorm: false,
    slidingWindows: new Array<null>(c.layers).fill(null),
    features: plainFeatures,
    bosTokenId: null,
    eosTokenIds: [],
    parscale: parscaleConfig({ n: c.p, ...(c.p > 1 && c.streams ? { input: c.streams } : {}) }),
    raw: {},
  }
  return {
    config,
    tied: true,
    trainable: [...backboneParameters(config, true), ...streamParameters(config)],
    frozen: (name) => {
      throw new Error(`${name}: everything is trained`)
    },
    shape: { sequences: c.sequences, tokens: c.tokens },
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
  }
}

/** Token i of a step: the peer computes the same. */
export const tokenIds = (c: Case, step: number): Int32Array =>
  Int32Array.from({ length: c.sequences * (c.tokens + 1) }, (_, i) => (i * 7919 + step * 104_729 + (i % 977) ** 2) % c.vocabSize)

/** Random weights for both sides: norms are 1, everything else N(0, 0.02). */
export async function writeWeights(path: string, parameters: readonly Parameter[]): Promise<void> {
  const file = openSync(path, 'w')
  const tensors = randomTensors(parameters, ({ part }, random) => (part === 'norm' ? 1 : 0.02 * random.normal()))
  await writeSafetensors({ write: async (bytes) => void writeSync(file, bytes) }, tensors)
  closeSync(file)
}
