/** A configuration that is refused names the flag to change: every row of the table of refusals, and what other rooms refuse. */
import { isParscaleError } from '@parscale/core/internal'
import { parscaleConfig } from '@parscale/core/internal/model'
import { parseRunConfig, type RecipeName } from '@parscale/core/internal/training'
import { expect, it } from 'vitest'
import { refusals, stageRefusals } from '../../../core/src/training/run/parse-run-config.ts'
import { streamKeys } from '../../../core/src/training/run/unused-keys.ts'
import { type ConfigFlags, configOf } from './train-options.ts'

const data = ['/data/text.txt']
const model = 'nobody/model'

const cases: readonly (readonly [recipe: RecipeName, flags: ConfigFlags, named: string, say: RegExp])[] = [
  ['recycle', { model, set: ['base=null'] }, '--model (base)', /either base .* or shape/],
  ['pretrain', { train: 'streams' }, '--train (stages.0.train)', /no backbone to freeze/],
  ['pretrain', { heads: 5, kvHeads: 2 }, '--heads (shape.numAttentionHeads)', /multiple of numKeyValueHeads, which is 2/],
  ['pretrain', { headDim: 31 }, '--head-dim (shape.headDim)', /even/],
  ['pretrain', { init: 'near-identity' }, '--init (streams.init)', /only behind a gate/],
  [
    'recycle',
    { model, streams: ['scales'], aggregation: 'static', init: 'near-identity' },
    '--init (streams.init)',
    /scales that change nothing yet and aggregation static .* choose random, or streams\.aggregation dynamic/,
  ],
  ['pretrain', { streams: ['lora'], init: 'text' }, '--init (streams.init)', /begin as text, but input is lora/],
  ['pretrain', { dropStreams: 0.1, nestStreams: 0.1 }, '--nest-streams (aids.nestStreams)', /leave out one of them/],
  [
    'pretrain',
    { nestStreams: 0.1, domainStreams: 0.1 },
    '--domain-streams (aids.domainStreams)',
    /--nest-streams.*leave out one of them/,
  ],
  ['recycle', { model, p: 1 }, '--p (stages.0.p)', /P = 1 has no streams to train/],
  ['two-stage', { p: 4, set: ['stages.0.p=2'] }, '--p (stages.1.p)', /switched on once, not changed from P = 2 to 4/],
  ['two-stage', { p: 2, inputAtOne: true }, '--p (stages.1.p)', /streams\.inputAtOne/],
  ['two-stage', { p: 2, set: ['stages.1.train=streams'] }, '--train (stages.1.train)', /cannot change/],
]

/** What a schedule, a set of streams or the schema says under a name of its own. */
const elsewhere: typeof cases = [
  [
    'pretrain',
    { learningRate: 1e-3, finalLearningRate: 1 },
    '--final-learning-rate (stages.0.finalLearningRate)',
    /peak 0.001, got 1/,
  ],
  ['pretrain', { steps: 5, warmupSteps: 9 }, '--warmup-steps (stages.0.warmupSteps)', /9 steps .* do not fit into 5/],
  ['pretrain', { steps: 5, schedule: 'wsd', decaySteps: 9 }, '--decay-steps (stages.0.decaySteps)', /do not fit into 5/],
  ['pretrain', { prefixGate: true, prefixTokens: 0 }, '--prefix-tokens (streams.prefixTokens)', /at least one token/],
  ['pretrain', { p: 4, set: ['streams.ownWindow=0'] }, '--own-window (streams.ownWindow)', /0/],
  ['pretrain', { decorrelate: 1e300 }, '--decorrelate (aids.decorrelate)', /<=1000000/],
  ['pretrain', { trainTokens: 5000, set: ['batch=null'] }, 'batch', /expected object, received null/],
  ['pretrain', { dropout: 1 }, '--dropout (aids.dropout)', /1/],
  ['pretrain', { p: 4, ownLoss: 2 }, '--own-loss (aids.ownLoss)', /2/],
  ['pretrain', { smoothing: 1.2 }, '--smoothing (streams.smoothing)', /1/],
  ['pretrain', { learningRate: 0 }, '--learning-rate (stages.0.learningRate)', /0/],
  ['pretrain', { seed: -1 }, '--seed (seed)', /-1/],
  ['pretrain', { data: [''].slice(1), set: ['data.files=[]'] }, '--data', /name/],
]

/** What does nothing in the run: each key, and each reason that it has. */
const unused: typeof cases = [
  [
    'pretrain',
    { p: 1, streams: ['lora'] },
    '--streams (streams.input)',
    /p is 1, the plain model; .*raise p.* or set .*--input-at-one/,
  ],
  ['pretrain', { p: 1, prefixTokens: 4 }, '--prefix-tokens (streams.prefixTokens)', /of prefixes, but p is 1/],
  [
    'pretrain',
    { streams: ['lora'], prefixTokens: 4 },
    '--prefix-tokens (streams.prefixTokens)',
    /input is lora; .*add prefix to/,
  ],
  ['sft', { model, streamRank: 4 }, '--stream-rank (streams.loraRank)', /of lora, but p is 1/],
  ['recycle', { model, p: 4, streamRank: 4 }, '--stream-rank (streams.loraRank)', /input is prefix; .*add lora to .*--streams/],
  [
    'recycle',
    { model, p: 1, inputAtOne: true, ownWindow: 4 },
    '--own-window (streams.ownWindow)',
    /but p is 1; leave it out, or raise/,
  ],
  ['pretrain', { p: 1, aggregation: 'static' }, '--aggregation (streams.aggregation)', /several streams, but p is 1/],
  ['two-stage', { p: 1, merge: 'hidden' }, '--merge (streams.merge)', /is mixed, but p is 1/],
  ['pretrain', { p: 1, smoothing: 0.2 }, '--smoothing (streams.smoothing)', /learned, but p is 1/],
  ['pretrain', { smoothing: 0.2, aggregation: 'average' }, '--smoothing (streams.smoothing)', /--aggregation\) is average/],
  ['pretrain', { p: 1, finalSmoothing: 0 }, '--final-smoothing (streams.finalSmoothing)', /learned, but p is 1/],
  [
    'pretrain',
    { finalSmoothing: 0, aggregation: 'average' },
    '--final-smoothing (streams.finalSmoothing)',
    /--aggregation\) is average/,
  ],
  ['pretrain', { p: 1, init: 'text' }, '--init (streams.init)', /begins, but p is 1/],
  ['pretrain', { p: 1, prefixGate: true }, '--prefix-gate (streams.gate)', /prefix, but p is 1/],
  ['pretrain', { streams: ['lora'], prefixGate: true }, '--prefix-gate (streams.gate)', /opens and closes a prefix, but .*lora/],
  ['pretrain', { p: 1, prefixMlp: 8 }, '--prefix-mlp (streams.prefixMlp)', /prefixes, but p is 1/],
  ['pretrain', { streams: ['lora'], prefixMlp: 8 }, '--prefix-mlp (streams.prefixMlp)', /input is lora/],
  ['pretrain', { p: 4, inputAtOne: true }, '--input-at-one (streams.inputAtOne)', /single stream .*, but p is 4/],
  ['sft', { model, resetStreams: true }, '--reset-streams (streams.reset)', /anew, but p is 1/],
  ['pretrain', { resetStreams: true }, '--reset-streams (streams.reset)', /a fresh model/],
  ['pretrain', { p: 1, aggregatorRate: 2 }, '--aggregator-rate (optimizer.aggregatorRate)', /but p is 1/],
  ['pretrain', { aggregatorRate: 2, aggregation: 'average' }, '--aggregator-rate (optimizer.aggregatorRate)', /is average/],
  ['pretrain', { p: 1, streamRate: 2 }, '--stream-rate (optimizer.streamRate)', /differ, but p is 1/],
  ['pretrain', { p: 1, balance: 0.1 }, '--balance (aids.balance)', /several streams, but p is 1/],
  ['pretrain', { balance: 0.1, aggregation: 'average' }, '--balance (aids.balance)', /--aggregation\) is average, not dynamic/],
  ['pretrain', { p: 1, decorrelate: 0.1 }, '--decorrelate (aids.decorrelate)', /differ, but p is 1/],
  ['pretrain', { p: 1, ownLoss: 0.1 }, '--own-loss (aids.ownLoss)', /alone, but p is 1/],
  ['pretrain', { p: 1, dropStreams: 0.1 }, '--drop-streams (aids.dropStreams)', /out, but p is 1/],
  ['pretrain', { p: 1, nestStreams: 0.1 }, '--nest-streams (aids.nestStreams)', /out, but p is 1/],
  ['pretrain', { p: 1, domainStreams: 0.1 }, '--domain-streams (aids.domainStreams)', /its own, but p is 1/],
  ['pretrain', { p: 1, set: ['evaluation.diagnoseTokens=9'] }, 'evaluation.diagnoseTokens', /several streams, but p is 1/],
  ['pretrain', { p: 1, set: ['streams.merge=hidden'] }, '--merge (streams.merge)', /is mixed, but p is 1/],
]

/** The sentence of a refusal. */
function refused(recipe: RecipeName, flags: ConfigFlags): string {
  try {
    configOf(recipe, { data, ...flags })
  } catch (error) {
    if (isParscaleError(error) && error.kind === 'usage') return error.message
    throw error
  }
  return 'not refused'
}

it.each([...cases, ...elsewhere, ...unused])('%s %o', (recipe, flags, named, say) => {
  const message = refused(recipe, flags)
  expect(message).toContain(named)
  expect(message).toMatch(say)
})

it('names every key that can do nothing', () => {
  const named = unused.map(([, , name]) => /\((.*)\)/.exec(name)?.[1] ?? name)
  expect([...new Set(named)]).toEqual(Object.keys(streamKeys))
})

it('takes what does something, and what asks for nothing', () => {
  const streams = (recipe: RecipeName, flags: ConfigFlags, base?: ReturnType<typeof parscaleConfig>) =>
    configOf(recipe, { data, ...flags }, base).streams
  expect(streams('recycle', { model, p: 1, streams: ['lora'], inputAtOne: true, streamRank: 4 })).toMatchObject({ loraRank: 4 })
  expect(streams('pretrain', { p: 1, inputAtOne: true, prefixTokens: 4, init: 'text' })).toMatchObject({ prefixTokens: 4 })
  expect(streams('two-stage', { p: 4, ownWindow: 8, merge: 'probabilities' })).toMatchObject({ ownWindow: 8 })
  expect(streams('pretrain', { p: 1, balance: 0, aggregatorRate: 1, set: ['streams.ownWindow=null'] })).toMatchObject({
    ownWindow: null,
  })
  // Of a run that goes on.
  const plain = configOf('pretrain', { data, p: 1 })
  const saved = { ...plain, streams: { ...plain.streams, ownWindow: 8, prefixMlp: 8, gate: true } }
  expect(parseRunConfig(saved)).toEqual(saved)
  // Of the model, not asked for.
  const base = parscaleConfig({ n: 4, input: 'lora', loraRank: 3, ownWindow: 8, merge: 'probabilities' })
  expect(streams('sft', { model, p: 1 }, base)).toMatchObject({ ownWindow: 8, loraRank: 3 })
  expect(streams('recycle', { model, p: 4, streamRank: 2 }, base)).toMatchObject({ loraRank: 2 })
  expect(streams('recycle', { model, p: 2, resetStreams: true }, base)).toMatchObject({ reset: true })
})

it('leaves out what does nothing where it is not refused, as another run needs it', () => {
  const told: string[] = []
  const flags = { data, p: 1, ownWindow: 8, balance: 0.1, streams: ['lora' as const], prefixGate: true, dropout: 0.1 }
  const config = configOf('pretrain', flags, undefined, ({ path }, idle) => void told.push(`${path} ${idle !== undefined}`))
  expect(config).toMatchObject({ streams: { ownWindow: 8 }, aids: { balance: 0, dropout: 0.1 } })
  expect(told.sort()).toEqual([
    'aids.balance true',
    'aids.dropout false',
    'streams.gate true',
    'streams.input true',
    'streams.ownWindow true',
  ])
  expect(() => configOf('pretrain', { data, p: 4, streams: ['lora'], prefixGate: true }, undefined, () => {})).not.toThrow()
})

it('a gate of the model goes with its prefix', () => {
  const base = parscaleConfig({ n: 4, input: ['prefix', 'lora'], gate: true })
  expect(configOf('recycle', { data, model, p: 4, streams: ['lora'] }, base).streams).toMatchObject({
    input: ['lora'],
    gate: false,
  })
  expect(configOf('recycle', { data, model, p: 4 }, base).streams).toMatchObject({ input: ['prefix', 'lora'], gate: true })
})

it('has a case for every row of the tables, in their order', () => {
  const keys = cases.map(([, , named]) => /\((.*)\)/.exec(named)![1])
  expect(keys.slice(0, refusals.length)).toEqual(refusals.map(({ key }) => key))
  expect(keys.slice(refusals.length).map((key) => key!.replace(/^stages\.\d\./, ''))).toEqual(stageRefusals.map(({ key }) => key))
  // Rows under one key have sentences of their own.
  const sentences = cases.map(([recipe, flags]) => refused(recipe, flags).replace(/^.*?\)+: /, ''))
  expect(new Set(sentences.map((sentence) => sentence.slice(0, 14))).size).toBe(sentences.length)
})
