/** Prefixes that begin as text: the streams are the plain model that has read the text before. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arrayStream, parscaleKeys } from '../../checkpoint/index.ts'
import { modelFiles } from '../../generation/index.ts'
import { backboneParameters, type ModelConfig, parscaleConfig, streamParameters } from '../../model/index.ts'
import { openModelFolder, writeModelFolder } from '../../node/index.ts'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { fixturesFolder, loadEngine, maxDifference } from '../../testing/fixtures.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { textPrefixes } from '../index.ts'

let scratch: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-'))
})
afterAll(() => rm(scratch, { recursive: true }))

const ids = Array.from({ length: 20 }, (_, i) => (17 + 31 * i * i) % 259)
const pieces = [3, 5, 8].map((seed) => Uint32Array.from({ length: 7 }, (_, i) => (seed + 11 * i * i * i) % 259))

/** Streams of a plain model, with the prefixes as its files have them, written as a stream set. */
async function writeStreams(folder: string, set: string, texts: readonly Uint32Array[]): Promise<void> {
  const plain = await openModelFolder(folder)
  const { findWeight } = await modelFiles(plain)
  const parscale = parscaleConfig({ n: texts.length, input: 'prefix', nTokens: texts[0]!.length, aggregation: 'average' })
  const config: ModelConfig = { ...plain.config, parscale }
  const prefixes = await textPrefixes(onnxRuntime({ threads: 1 }), { config, trained: new Map(), frozen: findWeight }, texts)
  await writeModelFolder(set, {
    files: new Map([
      ['config.json', new TextEncoder().encode(JSON.stringify({ ...plain.config.raw, ...parscaleKeys(parscale) }))],
    ]),
    tensors: streamParameters(config).map(({ name, shape }) => arrayStream(name, shape, prefixes.get(name)!)),
  })
  await plain.close()
}

async function logits(folder: string, p: number, tokens: readonly number[], sets: readonly string[] = []): Promise<Float32Array> {
  const engine = await loadEngine(folder, { threads: 1 }, sets)
  const [out] = await engine.step([{ sequence: engine.open({ p }), ids: tokens, want: 'all' }])
  const all = out!.logits.slice(-ids.length * (out!.logits.length / tokens.length))
  await engine.dispose()
  return all
}

// Biases of keys and values; norms of keys; stretched rotations.
describe.each(['goldens/qwen2-p1', 'transformers/qwen3', 'transformers/llama3-rope'])('%s', (name) => {
  const folder = `${fixturesFolder}${name}`

  it.each(pieces.map((piece, i) => [i, piece] as const))(
    'gives the logits of text and tokens together: piece %i',
    async (i, piece) => {
      const set = join(scratch, name, `${i}`)
      await writeStreams(folder, set, [piece])
      const behindText = await logits(folder, 1, [...piece, ...ids])
      // Rotated by other angles of the same differences: rounding is what is left.
      const withPrefix = await logits(folder, 1, ids, [set])
      expect(maxDifference(withPrefix, behindText)).toBeLessThan(3e-5)
      // The text matters.
      expect(maxDifference(withPrefix, await logits(folder, 1, ids))).toBeGreaterThan(1e-3)
    },
  )
})

it('is the same for a backbone that is being trained, and for pieces together and alone', async () => {
  const { config, model, plan } = await readTrainingModel('parscale-p2')
  const runtime = onnxRuntime({ threads: 1 })
  const { frozen, tied } = plan({ sequences: 1, tokens: 1 })
  const together = await textPrefixes(runtime, { config, trained: new Map(), frozen }, pieces)
  const values = new Map(backboneParameters(config, tied).map(({ name }) => [name, model.get(name)!]))
  const trained = await textPrefixes(runtime, { config, trained: values, frozen }, pieces)
  const second = await textPrefixes(runtime, { config, trained: new Map(), frozen }, [pieces[1]!])
  expect(together.size).toBe(2 * config.numHiddenLayers)
  for (const [prefix, array] of together) {
    expect(trained.get(prefix)).toEqual(array)
    const size = array.length / pieces.length
    expect(maxDifference(second.get(prefix)!, array.subarray(size, 2 * size))).toBeLessThan(1e-5)
    expect(maxDifference(second.get(prefix)!, array.subarray(0, size))).toBeGreaterThan(1e-3)
  }
})
