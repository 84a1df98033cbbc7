/**
 * Everything that decides what a training run computes, as one JSON value. It is saved with the run, so that the run can be
 * resumed, repeated and explained. Recipes (recipes.ts) are functions to such values.
 */
import * as z from 'zod'
import { aggregations, merges, type ParscaleConfig, parscaleConfig, streamInputs } from '../../model/index.ts'
import type { Schedule } from './schedules.ts'

const count = z.number().int().positive()
const countOrZero = z.number().int().nonnegative()
const rate = z.number().positive()
const seed = z.number().int().nonnegative()
/** Of a term of the loss. What is far beyond is a slip, and overflows gradients in float32. */
const weight = z.number().nonnegative().max(1e6)

/** A stretch of the run with one number of streams and one schedule. */
const stage = z.strictObject({
  /** P, the streams trained in this stage. */
  p: count,
  steps: count,
  /** `streams`: the backbone is frozen; prefixes (or what stands for them) and aggregator learn. */
  train: z.enum(['all', 'streams']),
  schedule: z.enum(['constant', 'linear', 'cosine', 'wsd']),
  learningRate: rate,
  finalLearningRate: z.number().nonnegative(),
  warmupSteps: countOrZero,
  /** Of `wsd`: how many of the last steps the rate falls. */
  decaySteps: countOrZero,
})
export type Stage = z.infer<typeof stage>

/** A fresh model, in the architecture of the paper's experiments (Qwen2) at any size. */
const shape = z.strictObject({
  hiddenSize: count,
  intermediateSize: count,
  numHiddenLayers: count,
  numAttentionHeads: count,
  numKeyValueHeads: count,
  headDim: count,
  maxPositionEmbeddings: count,
  ropeTheta: rate,
  tieWordEmbeddings: z.boolean(),
  /** Standard deviation of what is drawn. Runs of earlier versions have none. */
  initializerRange: rate.default(0.02),
})

const streams = z.strictObject({
  /** What makes streams differ (model/streams.ts): one kind or several. */
  input: z.preprocess((value) => (typeof value === 'string' ? value.split(',') : value), z.array(z.enum(streamInputs)).min(1)),
  prefixTokens: countOrZero,
  loraRank: count,
  /** Last tokens of which a stream attends to its own keys and values, further back to the first stream's; null: its own of all. */
  ownWindow: count.nullable().default(null),
  aggregation: z.enum(aggregations),
  /** What is mixed: hidden states or probabilities. */
  merge: z.enum(merges).default('hidden'),
  /** e of w' = w (1 - e) + e / P */
  smoothing: z.number().min(0).max(1),
  /** e at the end, and of the model that comes out: it goes there straight over the steps with streams. null: it stays. */
  finalSmoothing: z.number().min(0).max(1).nullable().default(null),
  /** Of new parameters: N(0, 0.02); so that the model starts as the plain one; or, of prefixes, the backbone's own for some text. */
  init: z.enum(['random', 'near-identity', 'text']),
  /** A learned gate on the prefix, per stream; what a prefix needs for a near-identity start. */
  gate: z.boolean(),
  /** Width of the network that makes the prefixes while training; null: prefixes are trained themselves. */
  prefixMlp: count.nullable(),
  /** Also at P = 1, without aggregation: the control that shows what a learned input does without streams. */
  inputAtOne: z.boolean(),
  /** Draw the parameters of streams anew though the base has some. */
  reset: z.boolean(),
})

const data = z.strictObject({
  /** Files, folders and patterns. */
  files: z.array(z.string()).min(1, 'name at least one file'),
  field: z.string().nullable(),
  separator: z.string().nullable(),
  skipBad: z.boolean(),
  /** Conversations; the loss is on the assistant's turns only. */
  chat: z.boolean(),
  /** Share of documents that a run is measured on. */
  heldOutFraction: z.number().gt(0).lt(1),
  /** Decides which documents are held out. */
  heldOutSeed: seed,
  packing: z.enum(['stream', 'document']),
  /** True: tokens attend to earlier documents of the same sequence. */
  crossDocuments: z.boolean(),
})

const optimizer = z.strictObject({
  betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]),
  epsilon: rate,
  weightDecay: z.number().nonnegative(),
  /** Learning rates as shares of the backbone's: of the aggregator, and of what tells streams apart. */
  aggregatorRate: rate.default(1),
  streamRate: rate.default(1),
  /** null: no clipping. */
  maxGradNorm: rate.nullable(),
  /** Leave out steps whose loss is this many standard deviations above its running mean; null: take every step. */
  skipSpikes: rate.nullable(),
})

/** What helps while training (step/aids.ts); 0: off. */
const aids = z.strictObject({
  /** Share of the elements of what each layer adds that is left out. */
  dropout: z.number().min(0).lt(1).default(0),
  /** Of the term that keeps the aggregation from giving everything to one stream. */
  balance: weight.default(0),
  /** Of the term that makes the streams' last hidden states differ. */
  decorrelate: weight.default(0),
  /** Share of the mean of the losses that each stream has alone. */
  ownLoss: z.number().min(0).max(1).default(0),
  /** Probability that a stream is left out of a sequence. */
  dropStreams: z.number().min(0).lt(1).default(0),
  /** Probability that a sequence has its first streams only, so that a smaller P can be chosen later. */
  nestStreams: z.number().min(0).lt(1).default(0),
  /** Probability that a sequence is left to the one stream of its kind of text; the kinds are found among the documents. */
  domainStreams: z.number().min(0).lt(1).default(0),
})

/** Its enums are the choices of the command line, too. */
export const runConfigSchema = z.strictObject({
  version: z.literal(1),
  recipe: z.string(),
  /** Of initial values and of the order of the data. */
  seed,
  /** A model to start from: folder or GGUF file; null: a fresh one of `shape`. */
  base: z.string().nullable(),
  shape: shape.nullable(),
  /** A folder with tokenizer.json; null: that of the base, or one trained on the data. */
  tokenizer: z.string().nullable(),
  /** Of a tokenizer that is trained on the data. */
  vocabSize: count,
  stages: z.array(stage).min(1),
  streams,
  data,
  batch: z.strictObject({
    /** Sequences in one pass, and tokens predicted in each. */
    sequences: count,
    tokens: count,
    /** Passes whose gradients make up one step. */
    microBatches: count,
    /**
     * The order in which they are summed on the CPU: a fixed tree, the same for any number of workers; or one after the other, as runs of earlier
     * versions do. Of one or two passes the sum is the same.
     */
    gradientSum: z.enum(['tree', 'sequence']).default('sequence'),
  }),
  optimizer,
  aids: aids.prefault({}),
  evaluation: z.strictObject({
    /** Steps between evaluations; 0: at the beginning, the end and where stages meet. */
    every: countOrZero,
    /** Held-out sequences to evaluate on while training; at the end all of them are used. */
    sequences: count,
    /** Held-out tokens on which the streams are examined at evaluations; 0: not at all. */
    diagnoseTokens: countOrZero,
  }),
  sample: z.strictObject({ prompt: z.string(), tokens: countOrZero }),
  checkpoint: z.strictObject({
    /** Steps between checkpoints; 0: at the end and where stages meet. */
    every: countOrZero,
    /** How many to keep, beside the best. */
    keep: count,
  }),
  /** Steps between lines of the log. */
  logEvery: count,
})

/** The whole configuration of a training run. */
export type RunConfig = z.infer<typeof runConfigSchema>

/** A step's schedule, counted within its stage. */
export function stageSchedule(stage: Stage): Schedule {
  const { schedule: kind, learningRate: peak, finalLearningRate: final, warmupSteps, decaySteps, steps: totalSteps } = stage
  if (kind === 'constant') return { kind, peak, warmupSteps }
  const ending = { peak, warmupSteps, totalSteps, final }
  return kind === 'wsd' ? { kind, ...ending, decaySteps } : { kind, ...ending }
}

/** The smoothing of step number `step` of the run, from 0: from the first step with streams straight to the last. */
export function smoothingAt({ stages, streams }: Pick<RunConfig, 'stages' | 'streams'>, step: number): number {
  const { smoothing, finalSmoothing } = streams
  if (finalSmoothing === null) return smoothing
  const first = stages.findIndex(({ p }) => p > 1)
  const stepsOf = (some: readonly Stage[]) => some.reduce((sum, { steps }) => sum + steps, 0)
  const start = stepsOf(stages.slice(0, Math.max(0, first)))
  const share = Math.min(1, Math.max(0, step - start) / Math.max(1, stepsOf(stages) - start - 1))
  return smoothing + (finalSmoothing - smoothing) * share
}

/** The streams of a stage. @throws usage error for choices that do not go together */
export function stageStreams({ streams }: Pick<RunConfig, 'streams'>, { p }: Pick<Stage, 'p'>): ParscaleConfig {
  if (p === 1 && !streams.inputAtOne) return parscaleConfig({ n: 1 })
  const { input, prefixTokens: nTokens, gate, loraRank, ownWindow, aggregation, merge, smoothing, finalSmoothing } = streams
  const attnSmooth = finalSmoothing ?? smoothing
  return parscaleConfig({ n: p, input, nTokens, gate, loraRank, ownWindow, aggregation, merge, attnSmooth })
}
