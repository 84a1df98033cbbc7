/**
 * Every key of streams, for P = 1, P = 1 with a learned input and P = 2, for kinds of streams and ways to join them: a few steps are taken
 * with the key and without. It is called unused exactly where parameters, losses and the model that comes out are the same.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { openTokenFile, type TokenFile } from '../data/index.ts'
import { tokenFileWriter } from '../data/token-file-writer.ts'
import { freshModel } from '../start/fresh-model.ts'
import { parseRunConfig } from './parse-run-config.ts'
import { recipes } from './recipes.ts'
import { type RunConfig, stageStreams } from './run-config.ts'
import { Trainer } from './trainer.ts'
import { streamKeys, unusedKeys } from './unused-keys.ts'

type Kinds = RunConfig['streams']['input']

/** Another value of each key; of some it depends on what there is. */
const others: Readonly<Record<string, (config: RunConfig) => unknown>> = {
  'streams.input': ({ streams }) => (streams.input.includes('lora') ? ['norms'] : ['lora']),
  'streams.prefixTokens': () => 3,
  'streams.loraRank': () => 3,
  'streams.ownWindow': () => 2,
  'streams.aggregation': () => 'static',
  'streams.merge': () => 'probabilities',
  'streams.smoothing': () => 0.4,
  'streams.finalSmoothing': () => 0.5,
  'streams.init': ({ streams }) => (streams.input.includes('prefix') ? 'text' : 'near-identity'),
  'streams.gate': () => true,
  'streams.prefixMlp': () => 3,
  'streams.inputAtOne': () => true,
  'optimizer.aggregatorRate': () => 3,
  'optimizer.streamRate': () => 3,
  'aids.balance': () => 0.5,
  'aids.decorrelate': () => 0.5,
  'aids.ownLoss': () => 0.5,
  'aids.dropStreams': () => 0.5,
  'aids.nestStreams': () => 0.5,
  'aids.domainStreams': () => 0.5,
}
/** No trainer reads them: of the model that is started from, and of the look at a model while it is trained. */
const notOfTrainers = ['streams.reset', 'evaluation.diagnoseTokens']

const kinds: readonly Kinds[] = [['prefix'], ['lora', 'norms']]
const cases = kinds.flatMap((input) => [
  { input, p: 1, inputAtOne: false, aggregation: 'dynamic' as const },
  { input, p: 1, inputAtOne: true, aggregation: 'dynamic' as const },
  { input, p: 2, inputAtOne: false, aggregation: 'dynamic' as const },
  { input, p: 2, inputAtOne: false, aggregation: 'average' as const },
])

function configOf({ input, p, inputAtOne, aggregation }: (typeof cases)[number]): RunConfig {
  const recipe = recipes.pretrain({ data: ['x'], p, steps: 3, learningRate: 1e-2, input, aggregation, shape: { hiddenSize: 8 } })
  return parseRunConfig({
    ...recipe,
    shape: { ...recipe.shape!, intermediateSize: 8, numHiddenLayers: 1, numAttentionHeads: 1, numKeyValueHeads: 1, headDim: 4 },
    streams: { ...recipe.streams, prefixTokens: 2, loraRank: 2, inputAtOne },
    batch: { ...recipe.batch, sequences: 2, tokens: 8 },
    stages: [{ ...recipe.stages[0]!, warmupSteps: 0 }],
  })
}

function withValue(config: RunConfig, key: string, value: unknown): RunConfig {
  const [group, name] = key.split('.') as ['streams', string]
  return { ...config, [group]: { ...config[group], [name]: value } }
}

const runtime = onnxRuntime({ threads: 1 })
let data: TokenFile
beforeAll(async () => {
  const sink = memorySink()
  const writer = await tokenFileWriter(sink, { vocabSize: 24, masked: false, tokenizer: 'abc' })
  for (let d = 0; d < 12; d++)
    await writer.write({ ids: Uint32Array.from({ length: 20 }, (_, i) => (12 * (d % 2) + ((i * i + d) % 12)) % 24) })
  await writer.finish(null)
  data = await openTokenFile(bytesSource(sink.bytes(), 'x.tokens'))
})

/** What comes of a run: losses, parameters, and what its model's config.json says of streams. */
async function outcome(config: RunConfig): Promise<unknown> {
  const trainer = await Trainer.create({
    runtime,
    config,
    backbone: freshModel(config.shape!, { vocabSize: 24, eosTokenIds: [0] }),
    tied: config.shape!.tieWordEmbeddings,
    frozen: () => expect.unreachable('nothing is frozen'),
    stored: async () => undefined,
    train: data,
    heldOut: data,
  })
  try {
    const losses = [(await trainer.evaluate(2)).loss]
    while (!trainer.finished) losses.push((await trainer.step()).loss)
    const parameters = [...(await trainer.readParameters())].map(([name, values]) => [name, values.join()])
    return { losses, parameters, streams: stageStreams(config, config.stages[0]!) }
  } finally {
    await trainer.dispose()
  }
}

describe.each(cases)('P = $p by $input, inputAtOne $inputAtOne, $aggregation', (at) => {
  let config: RunConfig
  let plain: string
  beforeAll(async () => {
    config = configOf(at)
    plain = JSON.stringify(await outcome(config))
  })

  it.each(Object.entries(others).filter(([key]) => !(key === 'streams.inputAtOne' && at.inputAtOne)))(
    '%s',
    async (key, another) => {
      const changed = withValue(config, key, another(config))
      const unused = unusedKeys(changed).find((each) => each.key === key)
      if (unused?.refused) expect(() => parseRunConfig(changed)).toThrow(`${key}: `)
      else expect(JSON.stringify(await outcome(parseRunConfig(changed))) === plain).toBe(unused !== undefined)
    },
  )
})

it('has another value for every key, each once', () => {
  expect([...Object.keys(others), ...notOfTrainers].sort()).toEqual(Object.keys(streamKeys).sort())
})

it('has every key of streams and of aids, but for dropout', () => {
  const { streams, aids } = recipes.pretrain({ data: ['x'] })
  const all = [...Object.keys(streams).map((key) => `streams.${key}`), ...Object.keys(aids).map((key) => `aids.${key}`)]
  expect(all.filter((key) => !(key in streamKeys))).toEqual(['aids.dropout'])
})

it('asks for nothing where a value is off', () => {
  const hasUnused = (p: number, key: string, value: unknown) =>
    unusedKeys(withValue(recipes.pretrain({ data: ['x'], p }), key, value)).some((each) => each.key === key)
  for (const [key, { off }] of Object.entries(streamKeys).filter(([, { off }]) => off !== undefined))
    for (const p of [1, 2]) expect(hasUnused(p, key, off), key).toBe(false)
})

it('draws streams anew only where a model has some', () => {
  const unused = (base: string | undefined, input?: Kinds) => {
    const config = withValue(recipes.pretrain({ data: ['x'], base }), 'streams.reset', true)
    const model = input && stageStreams(withValue(config, 'streams.input', input), { p: input.length === 0 ? 1 : 2 })
    return unusedKeys(config, model).some(({ key }) => key === 'streams.reset')
  }
  expect(unused(undefined)).toBe(true)
  expect(unused('model', [])).toBe(true)
  expect(unused('model', ['lora'])).toBe(false)
  expect(unused('model of which nothing is known')).toBe(false)
})
