/** Diagnosis of streams: against the reference's arrays, and on models made to fail in a known way. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readF32 } from '../../checkpoint/index.ts'
import { openModelFolder } from '../../node/index.ts'
import { fixturesFolder, loadEngine, maxDifference, readFixture } from '../../testing/fixtures.ts'
import { type Spoil, writeRandomModel } from '../../testing/random-model.ts'
import { diagnose, diagnosisOf, measureStreams, scoreIds } from '../index.ts'

// Logits agree with the reference to 1e-4 (fixtures/goldens/README.md); a loss is a difference of two such figures.
const tolerance = 2e-4

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-diagnose-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const logSumExp = (values: readonly number[]) => {
  const max = Math.max(...values)
  return max + Math.log(values.reduce((sum, x) => sum + Math.exp(x - max), 0))
}

describe.each(['goldens/parscale-p2', 'goldens/parscale-p4', 'goldens/parscale-p8-bf16'])('%s', (name) => {
  it("gives the losses that follow from the reference's hidden states, weights and logits", async () => {
    const { folder: model, expected, arrays } = await readFixture(name)
    const [, P, H] = [0, ...arrays.get('stream_hidden_last')!.shape]
    const open = await openModelFolder(model)
    const output = await readF32((open.tensors.get('lm_head.weight') ?? open.tensors.get('model.embed_tokens.weight'))!)
    await open.close()
    // The reference has hidden states of the prompt's last token: what they say of one token more.
    const target = expected.generated_ids[0]! + 1
    const streams = Array.from({ length: P! }, (_, i) =>
      Array.from(arrays.get('stream_hidden_last')!.data.subarray(i * H!, (i + 1) * H!)),
    )
    const weights = Array.from(arrays.get('agg_weights')!.data.slice(-P!))
    const mixed = (share: (stream: number) => number) =>
      Array.from({ length: H! }, (_, h) => streams.reduce((sum, hidden, i) => sum + share(i) * hidden[h]!, 0))
    const logitsOf = (hidden: readonly number[]) =>
      Array.from({ length: output.length / H! }, (_, v) => hidden.reduce((sum, x, h) => sum + x * output[v * H! + h]!, 0))
    const lossOf = (hidden: readonly number[]) => {
      const logits = logitsOf(hidden)
      return logSumExp(logits) - logits[target]!
    }

    const engine = await loadEngine(model)
    const found = await measureStreams(engine, [...expected.input_ids, target])
    await engine.dispose()
    const close = (value: number | undefined, reference: number) => expect(Math.abs(value! - reference)).toBeLessThan(tolerance)
    for (let i = 0; i < P!; i++) {
      close(found.streams[i]!.at(-1), lossOf(streams[i]!))
      const logits = logitsOf(streams[i]!)
      expect(found.predictions[i]!.at(-1)).toBe(logits.indexOf(Math.max(...logits)))
      close(found.withoutStream[i]!.at(-1), lossOf(mixed((stream) => (stream === i ? 0 : weights[stream]! / (1 - weights[i]!)))))
    }
    close(found.average.at(-1), lossOf(mixed(() => 1 / P!)))
    close(found.ensemble.at(-1), Math.log(P!) - logSumExp(streams.map((hidden) => -lossOf(hidden))))
    // The aggregate at every token, from the reference's own logits.
    const { data, shape } = arrays.get('logits')!
    const V = shape.at(-1)!
    for (const [t, loss] of found.aggregate.entries()) {
      const row = Array.from(data.subarray(t * V, (t + 1) * V))
      close(loss, logSumExp(row) - row[expected.input_ids[t + 1] ?? target]!)
    }
    // The second stream alone says something else at one of four places.
    const predictions = Array.from({ length: P! }, (_, i) => Int32Array.of(1, i === 1 ? 9 : 2, 3, 4))
    const { disagreement } = diagnosisOf({ ...found, predictions }, 0)
    expect(disagreement[0]!.slice(0, 3)).toEqual([0, 0.25, 0].slice(0, P!))
    for (const [at, weight] of arrays.get('agg_weights')!.data.entries()) expect(found.weights[at]).toBeCloseTo(weight, 4)
  })
})

it('reads a text longer than the context as score does, and mixes two streams as arithmetic says', async () => {
  const engine = await loadEngine(`${fixturesFolder}goldens/parscale-p2-ctx28`)
  const ids = Array.from({ length: 75 }, (_, t) => (t * 37) % 259)
  const [found, score] = [await measureStreams(engine, ids), await scoreIds(engine, ids)]
  await engine.dispose()
  expect(found.aggregate).toHaveLength(74)
  for (const [t, loss] of found.aggregate.entries()) expect(loss).toBeCloseTo(-score.logProbabilities[t + 1]!, 5)
  expect(maxDifference(found.weights, score.streamWeights.slice(0, -1).flat())).toBeLessThan(1e-5)
  // Of two streams, without the one is the other alone.
  expect(found.withoutStream).toEqual([found.streams[1], found.streams[0]])
})

it('stops between two steps when it is told to, and leaves the engine usable', async () => {
  const engine = await loadEngine(`${fixturesFolder}goldens/parscale-p2-ctx28`)
  const ids = Array.from({ length: 75 }, (_, t) => t)
  const stop = new AbortController()
  const seen: number[] = []
  const onProgress = (done: number) => {
    seen.push(done)
    stop.abort()
  }
  await expect(measureStreams(engine, ids, { signal: stop.signal, onProgress })).rejects.toThrow('aborted')
  expect([seen, engine.cacheMemoryBytes]).toEqual([[28], 0])
  expect((await measureStreams(engine, ids.slice(0, 5))).aggregate).toHaveLength(4)
  await engine.dispose()
})

describe('models that fail in a known way', () => {
  const config = {
    ...{ model_type: 'llama', hidden_act: 'silu', vocab_size: 37, rms_norm_eps: 1e-6, rope_theta: 10000 },
    ...{ hidden_size: 24, intermediate_size: 33, num_attention_heads: 4, num_key_value_heads: 2, num_hidden_layers: 2 },
    ...{ max_position_embeddings: 64, tie_word_embeddings: true },
    ...{ parscale_n: 4, parscale_n_tokens: 3, parscale_attn_smooth: 0.1 },
  }
  const ids = Array.from({ length: 60 }, (_, t) => (t * 11) % 37)

  async function diagnoseSpoiled(name: string, spoil: Spoil) {
    const path = join(folder, name)
    await writeRandomModel(path, config, spoil)
    const engine = await loadEngine(path)
    const diagnosis = await diagnose(engine, ids)
    await engine.dispose()
    return diagnosis
  }

  it('raises no alarm where streams differ and share their weight', async () => {
    // Small scores leave the softmax nearly even.
    const { alarms } = await diagnoseSpoiled('healthy', (name, values) => {
      if (name.startsWith('model.aggregate_layer.2')) values.fill(0)
    })
    expect(alarms).toEqual([])
  })

  it('sees streams with the same prefix as one: rho is 1, and averaging is worth nothing', async () => {
    const { alarms, correlation, losses } = await diagnoseSpoiled('collapsed', (name, values) => {
      if (/prefix_[kv]$/.test(name)) {
        const size = values.length / config.parscale_n
        for (let stream = 1; stream < config.parscale_n; stream++) values.copyWithin(stream * size, 0, size)
      }
    })
    for (const rho of correlation.rho.flat()) expect(rho).toBeCloseTo(1, 6)
    expect(correlation.factor).toBeCloseTo(1, 6)
    const collapse = alarms.filter(({ kind }) => kind === 'stream collapse')
    expect(collapse.map(({ figure, value, streams }) => [figure, value, streams.length])).toEqual([
      ['rho', expect.closeTo(1, 6), 6],
      ['distance', expect.closeTo(0, 5), 6],
    ])
    for (const { difference } of [losses.average, losses.ensemble, ...losses.streams, ...losses.withoutStream])
      expect(difference).toBeCloseTo(0, 5)
  })

  it('sees an aggregation that always takes the third stream', async () => {
    const { alarms, weights } = await diagnoseSpoiled('monoculture', (name, values) => {
      if (name === 'model.aggregate_layer.2.bias') values.set([0, 0, 1000, 0])
    })
    // All of it, but for the smoothing of 0.1 over 4 streams.
    expect(weights.mean[2]).toBeCloseTo(0.925, 5)
    expect(weights.leads).toEqual([0, 0, expect.closeTo(1, 9), 0])
    expect(alarms).toMatchObject([{ kind: 'weight monoculture', figure: 'meanWeight', streams: [[3]] }])
    expect(alarms[0]!.value).toBeCloseTo(1, 5)
  })
})
