/**
 * Keys of a configuration that do something for some runs only: for several streams, for streams of one kind, for an aggregation that is
 * learned. A row says what a key does and what the run needs for that; without it the key changes nothing, and whoever has asked for it is
 * told so rather than left to believe in it.
 */
import type { ParscaleConfig } from '../../model/index.ts'
import type { RunConfig } from './run-config.ts'

interface Run {
  readonly config: RunConfig
  /** Streams of the model that the run starts from; undefined where it is not known. */
  readonly base: ParscaleConfig | undefined
}

interface Need {
  readonly met: (run: Run) => boolean
  /** What is the case where it is not met. */
  readonly lacks: (run: Run) => string
  /** What to change, beside leaving the key out. */
  readonly instead?: string
}

const needs = {
  several: { met: hasSeveral, lacks: () => 'p is 1', instead: 'raise p (--p)' },
  streams: {
    met: (run) => hasSeveral(run) || (run.config.streams.inputAtOne && hasOne(run)),
    lacks: () => 'p is 1, the plain model',
    instead: 'raise p (--p) or set streams.inputAtOne (--input-at-one)',
  },
  one: { met: hasOne, lacks: ({ config }) => `p is ${config.stages.at(-1)!.p}` },
  prefix: {
    met: ({ config }) => config.streams.input.includes('prefix'),
    lacks: kindsOf,
    instead: 'add prefix to streams.input (--streams)',
  },
  lora: {
    met: ({ config }) => config.streams.input.includes('lora'),
    lacks: kindsOf,
    instead: 'add lora to streams.input (--streams)',
  },
  learned: {
    met: ({ config }) => config.streams.aggregation !== 'average',
    lacks: aggregationOf,
    instead: 'choose dynamic or static',
  },
  dynamic: {
    met: ({ config }) => config.streams.aggregation === 'dynamic',
    lacks: (run) => `${aggregationOf(run)}, not dynamic`,
    instead: 'choose dynamic',
  },
  storedStreams: {
    met: ({ config, base }) => config.base !== null && (base === undefined || base.input.length > 0),
    lacks: ({ config }) =>
      config.base === null ? 'the run makes a fresh model' : 'the model that the run starts from has none of its own',
  },
} as const satisfies Record<string, Need>

function hasSeveral({ config }: Run): boolean {
  return config.stages.some(({ p }) => p > 1)
}

function hasOne({ config }: Run): boolean {
  return config.stages.some(({ p }) => p === 1)
}

function kindsOf({ config }: Run): string {
  return `streams.input is ${config.streams.input.join(', ')}`
}

function aggregationOf({ config }: Run): string {
  return `streams.aggregation (--aggregation) is ${config.streams.aggregation}`
}

type NeedName = keyof typeof needs

interface Row {
  /** Completes a sentence that begins with the key. */
  readonly does: string
  /** The first that is not met is the reason. */
  readonly needs: readonly NeedName[]
  /** The value that asks for nothing. */
  readonly off?: unknown
  /** Needs without which any configuration is refused, also that of a run which goes on: it was never begun. */
  readonly always?: readonly NeedName[]
}

const ofSeveral = (does: string): Row => ({ does, needs: ['several'], off: 0, always: ['several'] })

/** By key. A test trains with each of them and without, for every P and kind of streams (unused-keys.test.ts). */
export const streamKeys: Readonly<Record<string, Row>> = {
  'streams.input': { does: 'says what makes streams differ', needs: ['streams'] },
  'streams.prefixTokens': { does: 'is the length of prefixes', needs: ['streams', 'prefix'] },
  'streams.loraRank': { does: 'is the rank of lora', needs: ['streams', 'lora'] },
  'streams.ownWindow': { does: 'says which keys and values streams share', needs: ['several'], off: null },
  'streams.aggregation': { does: 'weighs several streams', needs: ['several'] },
  'streams.merge': { does: 'says what of several streams is mixed', needs: ['several'] },
  'streams.smoothing': { does: 'is of weights that are learned', needs: ['several', 'learned'] },
  'streams.finalSmoothing': {
    does: 'is of weights that are learned',
    needs: ['several', 'learned'],
    off: null,
    always: ['several', 'learned'],
  },
  'streams.init': { does: 'says how what makes streams differ begins', needs: ['streams'] },
  'streams.gate': { does: 'opens and closes a prefix', needs: ['streams', 'prefix'], off: false, always: ['prefix'] },
  'streams.prefixMlp': { does: 'makes prefixes', needs: ['streams', 'prefix'], off: null, always: ['prefix'] },
  'streams.inputAtOne': { does: 'gives a single stream what makes streams differ', needs: ['one'], off: false },
  'streams.reset': { does: "draws the model's streams anew", needs: ['streams', 'storedStreams'], off: false },
  'optimizer.aggregatorRate': { does: "is the aggregator's", needs: ['several', 'learned'], off: 1 },
  'optimizer.streamRate': { does: 'is of what makes streams differ', needs: ['streams'], off: 1 },
  'aids.balance': {
    does: 'evens out what an aggregator gives to several streams',
    needs: ['several', 'dynamic'],
    off: 0,
    always: ['several', 'dynamic'],
  },
  'aids.decorrelate': ofSeveral('makes streams differ'),
  'aids.ownLoss': ofSeveral('is of what each stream has alone'),
  'aids.dropStreams': ofSeveral('leaves some of the streams out'),
  'aids.nestStreams': ofSeveral('leaves the last streams out'),
  'aids.domainStreams': ofSeveral('gives each stream texts of its own'),
  'evaluation.diagnoseTokens': { does: 'is of the look at several streams', needs: ['several'], off: 0 },
}

export interface UnusedKey {
  readonly key: string
  /** Follows the key and a colon. */
  readonly why: string
  /** Whether a configuration that has it is refused, whoever set it. */
  readonly refused: boolean
}

/** The keys whose values ask for something that this run does not have, defaults among them. */
export function unusedKeys(config: RunConfig, base?: ParscaleConfig): UnusedKey[] {
  const run = { config, base }
  return Object.entries(streamKeys).flatMap(([key, { does, needs: names, off, always = [] }]) => {
    const name = names.find((each) => !needs[each].met(run))
    if (name === undefined || currentValue(config, key) === off) return []
    const { lacks, instead }: Need = needs[name]
    const why = `${does}, but ${lacks(run)}; leave it out${instead === undefined ? '' : `, or ${instead}`}`
    return [{ key, why, refused: always.includes(name) }]
  })
}

const currentValue = (config: RunConfig, key: string): unknown =>
  key.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown>)[step], config)
