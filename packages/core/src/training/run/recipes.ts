/**
 * The ways to train that have a name, as data: each is a function from a few options to a whole configuration, every value
 * of which can be overridden afterwards. Figures that are not scaled by options are the paper's (section 3.1 and appendix).
 */
import type { Aggregation, StreamInput } from '../../model/index.ts'
import { freshShape, type ShapeOptions } from './fresh-shape.ts'
import type { RunConfig, Stage } from './run-config.ts'

/** What has to be known before the rest can have defaults. */
export interface RecipeOptions {
  readonly data: readonly string[]
  /** A model to start from. */
  readonly base?: string | undefined
  /** P. Default 2; `sft`: 1, or what the model has. */
  readonly p?: number | undefined
  /** Steps of the run; of its first stage where there are two. */
  readonly steps?: number | undefined
  /** Of `two-stage`: steps with streams. */
  readonly secondSteps?: number | undefined
  /** The highest rate. */
  readonly learningRate?: number | undefined
  readonly seed?: number | undefined
  /** Of a fresh model. */
  readonly shape?: ShapeOptions | undefined
  /** What makes streams differ, and how they are weighed. Default: as published. */
  readonly input?: readonly StreamInput[] | undefined
  readonly aggregation?: Aggregation | undefined
}

/** The paper: 2,000 of 20,000 steps are warm-up. */
const warmupShare = 0.1
/** From 3e-4 to 1e-5. */
const finalShare = 1 / 30
/** 20 of 1,000 billion tokens are trained with streams. */
const secondStageShare = 0.02

function stage(p: number, steps: number, learningRate: number, rest: Partial<Stage> = {}): Stage {
  return {
    p,
    steps,
    train: 'all',
    schedule: 'cosine',
    learningRate,
    finalLearningRate: learningRate * finalShare,
    warmupSteps: Math.round(steps * warmupShare),
    decaySteps: 0,
    ...rest,
  }
}

/** How streams begin where the backbone has learned already: as the plain model, if they can and yet become different. */
const initOnBase = ({ input = ['prefix'], aggregation = 'dynamic' }: RecipeOptions): RunConfig['streams']['init'] =>
  !input.includes('prefix') && (input.includes('lora') || aggregation === 'dynamic') ? 'near-identity' : 'random'

/** What recipes have in common. */
function common(recipe: string, options: RecipeOptions, stages: Stage[]): RunConfig {
  return {
    version: 1,
    recipe,
    seed: options.seed ?? 0,
    base: options.base ?? null,
    shape: options.base === undefined ? freshShape(options.shape ?? {}) : null,
    tokenizer: null,
    vocabSize: 2048,
    stages,
    streams: {
      input: [...(options.input ?? ['prefix'])],
      prefixTokens: 48,
      loraRank: 8,
      ownWindow: null,
      aggregation: options.aggregation ?? 'dynamic',
      merge: 'hidden',
      smoothing: 0.1,
      finalSmoothing: null,
      init: 'random',
      gate: false,
      prefixMlp: null,
      inputAtOne: false,
      reset: false,
    },
    data: {
      files: [...options.data],
      field: null,
      separator: null,
      skipBad: false,
      chat: false,
      heldOutFraction: 0.05,
      heldOutSeed: 0,
      packing: 'stream',
      crossDocuments: false,
    },
    batch: { sequences: 8, tokens: 256, microBatches: 1, gradientSum: 'tree' },
    optimizer: {
      betas: [0.9, 0.95],
      epsilon: 1e-8,
      weightDecay: 0.1,
      aggregatorRate: 1,
      streamRate: 1,
      maxGradNorm: 1,
      skipSpikes: null,
    },
    aids: { dropout: 0, balance: 0, decorrelate: 0, ownLoss: 0, dropStreams: 0, nestStreams: 0, domainStreams: 0 },
    evaluation: { every: 100, sequences: 64, diagnoseTokens: 512 },
    sample: { prompt: 'The ', tokens: 48 },
    checkpoint: { every: 100, keep: 3 },
    logEvery: 10,
  }
}

/** The recipes by name: functions from a few options to a whole configuration. */
export const recipes = {
  /** From scratch, all streams from the first step (section 3.1). */
  pretrain: (options) =>
    common('pretrain', options, [stage(options.p ?? 2, options.steps ?? 2000, options.learningRate ?? 3e-4)]),

  /** P = 1 at a constant rate for nearly all tokens, then streams are switched on and the rate is annealed (section 4). */
  'two-stage': (options) => {
    const { steps = 2000, learningRate = 3e-4 } = options
    const second = options.secondSteps ?? Math.max(1, Math.round(steps * secondStageShare))
    const config = common('two-stage', options, [
      stage(1, steps, learningRate, { schedule: 'constant', finalLearningRate: learningRate }),
      stage(options.p ?? 2, second, learningRate, { schedule: 'linear', warmupSteps: 0 }),
    ])
    return { ...config, streams: { ...config.streams, init: initOnBase(options) } }
  },

  /** A model that is there already, its weights frozen: what makes streams differ and the aggregator learn, 0.2 % a stream (section 4.2). */
  recycle: (options) => {
    const config = common('recycle', options, [
      stage(options.p ?? 2, options.steps ?? 1000, options.learningRate ?? 1e-3, { train: 'streams' }),
    ])
    return { ...config, streams: { ...config.streams, init: initOnBase(options) } }
  },

  /** Conversations, with the loss on the assistant's turns (section 4.1, instruction tuning). */
  sft: (options) => {
    const config = common('sft', options, [stage(options.p ?? 1, options.steps ?? 1000, options.learningRate ?? 2e-5)])
    return { ...config, data: { ...config.data, chat: true, packing: 'document' } }
  },
} as const satisfies Record<string, (options: RecipeOptions) => RunConfig>

/** The names of the recipes. */
export type RecipeName = keyof typeof recipes
export const recipeNames = Object.keys(recipes) as RecipeName[]

/** Whether a recipe starts from a model that is there. */
export const needsBase = (recipe: RecipeName): boolean => recipe === 'recycle' || recipe === 'sft'
