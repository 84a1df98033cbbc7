/** A configuration that is refused names the flag to change: every row of the table of refusals, and what other rooms refuse. */
import { isParscaleError } from '@parscale/core/internal'
import { parscaleConfig } from '@parscale/core/internal/model'
import type { RecipeName } from '@parscale/core/internal/training'
import { expect, it } from 'vitest'
import { refusals, stageRefusals } from '../../../core/src/training/run/parse-run-config.ts'
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
  ['pretrain', { streams: ['lora'], prefixMlp: 8 }, '--prefix-mlp (streams.prefixMlp)', /input is lora/],
  ['pretrain', { streams: ['lora'], init: 'text' }, '--init (streams.init)', /begin as text, but input is lora/],
  ['pretrain', { balance: 0.1, aggregation: 'average' }, '--balance (aids.balance)', /--aggregation\) is average, not dynamic/],
  ['pretrain', { finalSmoothing: 0, aggregation: 'average' }, '--final-smoothing (streams.finalSmoothing)', /leave it out/],
  ['pretrain', { dropStreams: 0.1, nestStreams: 0.1 }, '--nest-streams (aids.nestStreams)', /leave out one of them/],
  [
    'pretrain',
    { nestStreams: 0.1, domainStreams: 0.1 },
    '--domain-streams (aids.domainStreams)',
    /--nest-streams.*leave out one of them/,
  ],
  ['pretrain', { p: 1, decorrelate: 0.1 }, '--decorrelate (aids.decorrelate)', /differ, but p is 1/],
  ['pretrain', { p: 1, ownLoss: 0.1 }, '--own-loss (aids.ownLoss)', /alone, but p is 1/],
  ['pretrain', { p: 1, dropStreams: 0.1 }, '--drop-streams (aids.dropStreams)', /out, but p is 1/],
  ['pretrain', { p: 1, nestStreams: 0.1 }, '--nest-streams (aids.nestStreams)', /out, but p is 1/],
  ['pretrain', { p: 1, domainStreams: 0.1 }, '--domain-streams (aids.domainStreams)', /its own, but p is 1/],
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
  ['pretrain', { streams: ['lora'], prefixGate: true }, '--prefix-gate (streams.gate)', /opens and closes a prefix/],
  ['pretrain', { prefixGate: true, prefixTokens: 0 }, '--prefix-tokens (streams.prefixTokens)', /at least one token/],
  ['pretrain', { p: 4, set: ['streams.ownWindow=0'] }, '--own-window (streams.ownWindow)', /0/],
  ['pretrain', { balance: 0.1, p: 1 }, '--balance (aids.balance)', /several streams, but p is 1/],
  ['pretrain', { finalSmoothing: 0, p: 1 }, '--final-smoothing (streams.finalSmoothing)', /learned, but p is 1/],
  ['pretrain', { decorrelate: 1e300 }, '--decorrelate (aids.decorrelate)', /<=1000000/],
  ['pretrain', { trainTokens: 5000, set: ['batch=null'] }, 'batch', /expected object, received null/],
  ['pretrain', { dropout: 1 }, '--dropout (aids.dropout)', /1/],
  ['pretrain', { p: 4, ownLoss: 2 }, '--own-loss (aids.ownLoss)', /2/],
  ['pretrain', { smoothing: 1.2 }, '--smoothing (streams.smoothing)', /1/],
  ['pretrain', { learningRate: 0 }, '--learning-rate (stages.0.learningRate)', /0/],
  ['pretrain', { seed: -1 }, '--seed (seed)', /-1/],
  ['pretrain', { data: [''].slice(1), set: ['data.files=[]'] }, '--data', /name/],
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

it.each([...cases, ...elsewhere])('%s %o', (recipe, flags, named, say) => {
  const message = refused(recipe, flags)
  expect(message).toContain(named)
  expect(message).toMatch(say)
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
