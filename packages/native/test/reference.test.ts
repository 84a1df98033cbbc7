/** The reference's and transformers' numbers through the native step in float32, within the tolerances of fixtures/goldens/README.md. */
import { readdirSync } from 'node:fs'
import { type ModelConfig, parscaleConfig } from '@parscale/core/internal/model'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { argmax, type Fixture, fixturesFolder, maxDifference, readFixture } from '../../core/src/testing/fixtures.ts'
import { instructionSets, nativeRefusal } from '../src/index.ts'
import { refusalOf } from './support/refusal.ts'
import { type PackedFolder, packFolder, Streams } from './support/streams.ts'

const names = ['goldens', 'transformers'].flatMap((group) =>
  readdirSync(`${fixturesFolder}${group}`)
    .filter((name) => !name.endsWith('.md'))
    .map((name) => `${group}/${name}`),
)
const logitTolerance = 1e-4
const weightTolerance = 1e-5

describe.each(names.filter((name) => !refusalOf(name)))('%s', (name) => {
  let fixture: Fixture
  let packed: PackedFolder
  const array = (key: string) => fixture.arrays.get(key)!.data

  beforeAll(async () => {
    fixture = await readFixture(name)
    packed = await packFolder(fixture.folder)
  })
  afterAll(() => packed.remove())

  it('gives logits, hidden states, stream outputs and stream weights', async () => {
    const engine = new Streams(packed, { threads: 2 })
    const [out] = await engine.step([{ sequence: engine.open(), ids: fixture.expected.input_ids }])
    expect(maxDifference(out!.logits, array('logits'))).toBeLessThan(logitTolerance)
    expect(maxDifference(out!.hidden, array('hidden'))).toBeLessThan(logitTolerance)
    const last = array('stream_hidden_last')
    expect(maxDifference(out!.streams.slice(-last.length), last)).toBeLessThan(logitTolerance)
    if (engine.config.parscale.n > 1) expect(maxDifference(out!.weights, array('agg_weights'))).toBeLessThan(weightTolerance)
    await engine.model.dispose()
  })

  it.each(instructionSets())('generates the reference greedy tokens with %s', async (instructionSet) => {
    const engine = new Streams(packed, { threads: 2, instructionSet })
    const sequence = engine.open()
    const { input_ids, generated_ids } = fixture.expected
    let ids = input_ids
    const found: number[] = []
    const logits: number[] = []
    while (found.length < generated_ids.length) {
      const [out] = await engine.step([{ sequence, ids }])
      const row = out!.logits.subarray(-engine.config.vocabSize)
      ids = [argmax(row)]
      found.push(ids[0]!)
      logits.push(...row)
    }
    expect(found).toEqual(generated_ids)
    expect(maxDifference(logits, array('generated_logits'))).toBeLessThan(logitTolerance)
    await engine.model.dispose()
  })

  it('gives each row of a batch of different lengths what it gives alone', async () => {
    const engine = new Streams(packed, { threads: 2 })
    const { input_ids, attention_mask } = fixture.expected.batch2
    const work = input_ids.map((row, i) => ({
      sequence: engine.open(),
      ids: row.filter((_, t) => attention_mask[i]![t] === 1),
    }))
    const out = await engine.step(work)
    const logits = out.flatMap((result) => [...result.logits.slice(-engine.config.vocabSize)])
    expect(maxDifference(logits, array('batch2_logits_last'))).toBeLessThan(logitTolerance)
    await engine.model.dispose()
  })
})

it('refuses by name what it does not compute, and nothing else', () => {
  const refused = names.flatMap((name) => refusalOf(name) ?? [])
  const norms = (family: string) => `the native step knows no norms behind attention and MLP, which ${family} models have`
  const partial = 'the native step knows no rotation of a part of each head, which phi3 models have'
  expect(new Set(refused)).toEqual(new Set([norms('gemma2'), norms('olmo2'), partial]))
  const sharing = { parscale: parscaleConfig({ n: 2, ownWindow: 64 }) } as ModelConfig
  expect(nativeRefusal([sharing])).toBe('the native step lets no streams share keys and values (parscale_own_window)')
})
