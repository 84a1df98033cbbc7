/** Tiny models with streams of every kind under every training aid, for comparing objective and gradients. */
import { Tensor } from 'onnxruntime-common'
import { gradients } from '../autodiff/index.ts'
import { GraphBuilder } from '../graph/index.ts'
import {
  backboneParameters,
  elementCount,
  type ModelConfig,
  type ParscaleOptions,
  parscaleConfig,
  plainFeatures,
  streamInputs,
  streamParameters,
  type Weights,
} from '../model/index.ts'
import { createRandom } from '../random.ts'
import type { Runtime } from '../runtime/index.ts'
import { lossFeeds, passNoise, type TrainingAids, type TrainPlan, trainingLoss } from '../training/index.ts'

export interface AidCase {
  readonly streams: ParscaleOptions
  readonly aids: TrainingAids
}

const shape = { sequences: 3, tokens: 7 }
/** The number of the pass: with seed 1 some streams are dropped and some are not. */
const pass = 2
const seed = 1
/** The smoothing that is fed, other than the configuration's. */
export const fedSmoothing = 0.3

const each: Readonly<Record<string, TrainingAids>> = {
  dropout: { dropout: 0.2 },
  balance: { balance: 0.7 },
  decorrelate: { decorrelate: 0.5 },
  'own loss': { ownLoss: 0.4 },
  'dropped streams': { dropStreams: 0.5 },
  'nested streams': { nestStreams: 0.5 },
  'domain streams': { domainStreams: 0.5 },
  'fed smoothing': { smoothing: true },
}
/** But nested streams and those of domains: both and dropped streams are ways to choose a sequence's streams. */
const all: TrainingAids = { ...Object.assign({}, ...Object.values(each)), nestStreams: 0, domainStreams: 0 }
const some = { n: 3, input: ['scales', 'norms'] } as const

/** Every aid with both mergings; every kind of stream, and every aggregation, with all aids that it can have. */
export const aidCases: Readonly<Record<string, AidCase>> = {
  ...Object.fromEntries(
    (['hidden', 'probabilities'] as const).flatMap((merge) =>
      Object.entries(each).map(([name, aids]) => [`${name}, ${merge}`, { streams: { ...some, merge }, aids }]),
    ),
  ),
  ...Object.fromEntries(
    streamInputs.map((input) => [`${input}, all`, { streams: { n: 2, input, nTokens: 3, loraRank: 2 }, aids: all }]),
  ),
  'nested, all': { streams: { ...some, n: 4 }, aids: { ...all, dropStreams: 0, nestStreams: 0.5 } },
  'nested, static': { streams: { ...some, aggregation: 'static' }, aids: { nestStreams: 0.5 } },
  'nested, average': { streams: { ...some, aggregation: 'average' }, aids: { nestStreams: 0.5 } },
  'domains, all': { streams: { ...some, n: 4 }, aids: { ...all, dropStreams: 0, domainStreams: 0.5 } },
  'domains, average': { streams: { ...some, aggregation: 'average' }, aids: { domainStreams: 0.5 } },
  'static, all': { streams: { ...some, aggregation: 'static' }, aids: all },
  'static, all, probabilities': { streams: { ...some, aggregation: 'static', merge: 'probabilities' }, aids: all },
  'average, all': { streams: { ...some, aggregation: 'average' }, aids: { ...all, smoothing: false } },
  'all kinds and aids, probabilities': {
    streams: { n: 2, input: streamInputs, nTokens: 3, loraRank: 2, merge: 'probabilities' },
    aids: all,
  },
  // Windows of 1 and 3 of 7 tokens.
  'shared keys, prefix, all': { streams: { n: 2, input: ['prefix', 'lora'], nTokens: 3, loraRank: 2, ownWindow: 3 }, aids: all },
  'shared keys, nested': { streams: { ...some, n: 4, ownWindow: 3 }, aids: { nestStreams: 0.5 } },
  'shared keys, gate': { streams: { n: 3, input: ['prefix', 'scales'], nTokens: 2, gate: true, ownWindow: 1 }, aids: {} },
  'one stream, dropout': { streams: { n: 1 }, aids: all },
}

export function aidPlan({ streams, aids }: AidCase): TrainPlan {
  const config: ModelConfig = {
    modelType: 'qwen2_parscale',
    vocabSize: 23,
    hiddenSize: 16,
    intermediateSize: 24,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    headDim: 8,
    rmsNormEps: 1e-6,
    ropeTheta: 10_000,
    ropeScaling: { type: 'default' },
    maxPositionEmbeddings: 16,
    tieWordEmbeddings: true,
    attentionBias: { qkv: true, o: false },
    mlpBias: false,
    qkNorm: false,
    slidingWindows: [null, null],
    features: plainFeatures,
    bosTokenId: null,
    eosTokenIds: [],
    parscale: parscaleConfig(streams),
    raw: {},
  }
  return {
    config,
    tied: true,
    trainable: [...backboneParameters(config, true), ...streamParameters(config)],
    frozen: (name) => {
      throw new Error(`${name}: everything is trained`)
    },
    shape,
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
    aids,
    domains: Array.from({ length: shape.sequences }, (_, document) => document % config.parscale.n),
    seed,
  }
}

/** Values by name: factors around 1, all else around 0, all of them far from where gradients vanish. */
export function aidParameters(plan: TrainPlan): Map<string, Float32Array> {
  return new Map(
    plan.trainable.map(({ name, shape }, i) => {
      const random = createRandom(100 + i)
      const centre = /norm|scale|gain/.test(name) && !name.endsWith('_bias') ? 1 : 0
      return [name, Float32Array.from({ length: elementCount(shape) }, () => centre + 0.3 * random.normal())]
    }),
  )
}

/** Token ids, each sequence a document, and loss weights of which some are 0. */
export function aidBatch(plan: TrainPlan) {
  const random = createRandom(5)
  const { sequences: B, tokens: T } = shape
  const ids = Array.from({ length: B * (T + 1) }, () => random.below(plan.config.vocabSize))
  const weights = Array.from({ length: B * T }, (_, i) => (i % 5 === 0 ? 0 : 1 + (i % 3)))
  const documents = Array.from({ length: B * (T + 1) }, (_, i) => Math.floor(i / (T + 1)))
  return { ids, weights, documents }
}

/** All that is fed beside the parameters. */
export const aidFeeds = (plan: TrainPlan): Record<string, Tensor> => ({
  ...lossFeeds(plan)([aidBatch(plan)])[0],
  ...passNoise(plan, seed)(pass, aidBatch(plan)),
  ...(plan.aids?.smoothing &&
    plan.config.parscale.n > 1 && { smoothing: new Tensor('float32', Float32Array.of(fedSmoothing), [1]) }),
})

/** Computes loss, objective and the objective's gradients, `loss`, `objective` and `gradient.NAME`, at any parameters. */
export async function objectiveSession(runtime: Runtime, plan: TrainPlan) {
  const g = new GraphBuilder('objective')
  const inputs = plan.trainable.map(({ name, shape }) => g.input(name, 'float32', shape))
  const byName = new Map(inputs.map((input) => [input.name, input]))
  const weights: Weights = (name) => byName.get(name)!
  const { loss, objective } = trainingLoss(g, plan, weights)
  for (const [i, grad] of gradients(g, objective, inputs).entries())
    g.output(g.add(grad, g.scalar(0)), `gradient.${inputs[i]!.name}`)
  g.output(g.add(loss, g.scalar(0)), 'loss')
  g.output(g.add(objective, g.scalar(0)), 'objective')
  const session = await runtime.createSession(g.build())
  const feeds = aidFeeds(plan)
  return {
    async at(parameters: ReadonlyMap<string, Float32Array>) {
      const tensors = plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', parameters.get(name)!, shape)])
      const out = await session.run({ ...feeds, ...Object.fromEntries(tensors) })
      return {
        loss: Number(out.loss!.data[0]),
        objective: Number(out.objective!.data[0]),
        gradients: new Map(plan.trainable.map(({ name }) => [name, out[`gradient.${name}`]!.data as Float32Array])),
      }
    },
    dispose: () => session.dispose(),
  }
}
