/** What a configuration must be beside its types: rows that say when a value is refused, each under the key to change; and unused-keys.ts. */
import { isParscaleError, usageError } from '../../errors.ts'
import type { ParscaleConfig } from '../../model/index.ts'
import { safeParse } from '../../safe-parse.ts'
import { type RunConfig, runConfigSchema, type Stage, stageSchedule, stageStreams } from './run-config.ts'
import { validateSchedule } from './schedules.ts'
import { unusedKeys } from './unused-keys.ts'

interface Refusal<At> {
  readonly key: string
  readonly when: (at: At) => boolean
  /** Follows the key and a colon. */
  readonly say: (at: At) => string
}

export const refusals: readonly Refusal<RunConfig>[] = [
  {
    key: 'base',
    when: ({ base, shape }) => (base === null) === (shape === null),
    say: () => 'give either base (a model to start from) or shape (a fresh model)',
  },
  {
    key: 'stages.0.train',
    when: ({ base, stages }) => base === null && stages[0]!.train !== 'all',
    say: () => 'a fresh model has no backbone to freeze; its first stage must train all',
  },
  {
    key: 'shape.numAttentionHeads',
    when: ({ shape }) => shape !== null && shape.numAttentionHeads % shape.numKeyValueHeads !== 0,
    say: ({ shape }) => `must be a multiple of numKeyValueHeads, which is ${shape!.numKeyValueHeads}`,
  },
  {
    key: 'shape.headDim',
    when: ({ shape }) => shape !== null && shape.headDim % 2 !== 0,
    say: () => 'must be even',
  },
  {
    key: 'streams.init',
    when: ({ streams: { input, init, gate } }) => input.includes('prefix') && init === 'near-identity' && !gate,
    say: () =>
      'a prefix can start near the plain model only behind a gate; set streams.gate (--prefix-gate), or leave prefix out of streams.input (--streams)',
  },
  {
    key: 'streams.init',
    when: ({ streams: { input, init, aggregation }, stages }) =>
      init === 'near-identity' &&
      aggregation !== 'dynamic' &&
      !input.includes('lora') &&
      !input.includes('prefix') &&
      stages.some(({ p }) => p > 1),
    say: ({ streams: { input, aggregation } }) =>
      `${input.join(', ')} that change nothing yet and aggregation ${aggregation} give all streams the same gradients, so they would stay the same; choose random, or streams.aggregation dynamic`,
  },
  {
    key: 'streams.init',
    when: ({ streams: { input, init, prefixMlp } }) => init === 'text' && (!input.includes('prefix') || prefixMlp !== null),
    say: ({ streams: { input, prefixMlp } }) =>
      `only prefixes that are trained themselves can begin as text, but ${input.includes('prefix') ? `a network of width ${prefixMlp} makes them (--prefix-mlp)` : `input is ${input.join(', ')}`}; choose random`,
  },
  {
    key: 'aids.nestStreams',
    when: ({ aids }) => aids.nestStreams > 0 && aids.dropStreams > 0,
    say: () => 'and aids.dropStreams (--drop-streams) both decide which streams a sequence has; leave out one of them',
  },
  {
    key: 'aids.domainStreams',
    when: ({ aids }) => aids.domainStreams > 0 && aids.dropStreams + aids.nestStreams > 0,
    say: ({ aids }) =>
      `and aids.${aids.dropStreams > 0 ? 'dropStreams (--drop-streams)' : 'nestStreams (--nest-streams)'} both decide which streams a sequence has; leave out one of them`,
  },
]

interface StageOfRun {
  readonly stage: Stage
  readonly before: Stage | undefined
  readonly streams: ParscaleConfig
  readonly inputAtOne: boolean
}

/** Keys are below `stages.N`. */
export const stageRefusals: readonly Refusal<StageOfRun>[] = [
  {
    key: 'p',
    when: ({ stage, streams: { input } }) => stage.train === 'streams' && input.length === 0,
    say: ({ stage: { p } }) =>
      `P = ${p} has no streams to train with the backbone frozen; raise p, or set streams.inputAtOne (--input-at-one)`,
  },
  {
    key: 'p',
    when: ({ stage, before }) => before !== undefined && before.p !== stage.p && before.p !== 1,
    say: ({ stage, before }) => `streams can be switched on once, not changed from P = ${before!.p} to ${stage.p}`,
  },
  {
    key: 'p',
    when: ({ stage, before, inputAtOne }) => before !== undefined && before.p !== stage.p && inputAtOne,
    say: ({ stage: { p } }) =>
      `what one stream has learned (streams.inputAtOne) is not what P = ${p} start with; leave out streams.inputAtOne, or keep p`,
  },
  {
    key: 'train',
    when: ({ stage, before }) => before !== undefined && before.train !== stage.train,
    say: () => 'what is trained cannot change from one stage to the next; use a second run with --model',
  },
]

/**
 * Checks a configuration whole.
 *
 * @param name names it in errors, such as a file
 * @throws usage error naming the key (`facts.flag`), what it should be, and what was found
 */
export function parseRunConfig(value: unknown, name = 'configuration'): RunConfig {
  const parsed = safeParse(runConfigSchema, value)
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!
    const key = path.join('.')
    throw refusal(name, key || 'the value', `${message}, found ${JSON.stringify(valueAt(value, path))}`, valueAt(value, path))
  }
  const config = parsed.data
  const require = <At>(rows: readonly Refusal<At>[], at: At, prefix = '') => {
    const row = rows.find(({ when }) => when(at))
    if (!row) return
    const key = `${prefix}${row.key}`
    throw refusal(name, key, row.say(at), valueAt(config, key.split('.')))
  }
  for (const [i, stage] of config.stages.entries()) underKeys(name, scheduleKeys(i), () => validateSchedule(stageSchedule(stage)))
  require(refusals, config)
  const unused = unusedKeys(config).find(({ refused }) => refused)
  if (unused) throw refusal(name, unused.key, unused.why, valueAt(config, unused.key.split('.')))
  for (const [i, stage] of config.stages.entries()) {
    const streams = underKeys(name, streamKeys(i), () => stageStreams(config, stage))
    const { inputAtOne } = config.streams
    require(stageRefusals, { stage, before: config.stages[i - 1], streams, inputAtOne }, `stages.${i}.`)
  }
  return config
}

const refusal = (name: string, key: string, sentence: string, found: unknown) =>
  usageError(`${name}: ${key}: ${sentence}`, { flag: key, found })

const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((at, step) => (at as Record<PropertyKey, unknown> | null | undefined)?.[step], value)

/** Names of a Schedule (schedules.ts) as keys. */
const scheduleKeys = (stage: number) => ({
  peak: `stages.${stage}.learningRate`,
  final: `stages.${stage}.finalLearningRate`,
  warmupSteps: `stages.${stage}.warmupSteps`,
  totalSteps: `stages.${stage}.steps`,
  decaySteps: `stages.${stage}.decaySteps`,
})

/** Names of a ParscaleConfig as keys. */
const streamKeys = (stage: number) => ({
  p: `stages.${stage}.p`,
  input: 'streams.input',
  nTokens: 'streams.prefixTokens',
  gate: 'streams.gate',
  loraRank: 'streams.loraRank',
  ownWindow: 'streams.ownWindow',
  aggregation: 'streams.aggregation',
  merge: 'streams.merge',
  attnSmooth: 'streams.smoothing',
})

/** Runs a check that knows other names than the configuration's. */
function underKeys<T>(name: string, keys: Readonly<Record<string, string>>, check: () => T): T {
  try {
    return check()
  } catch (error) {
    const key = isParscaleError(error) && error.facts.flag !== undefined ? keys[error.facts.flag] : undefined
    if (key === undefined) throw error
    throw refusal(name, key, (error as Error).message, (error as { facts?: { found?: unknown } }).facts?.found)
  }
}
