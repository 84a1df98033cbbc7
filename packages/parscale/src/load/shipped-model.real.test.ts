/**
 * The card of the model that ships says what the model does: losses on the held-out part of its data, computed anew by the
 * engine that generates (the card's own are from the graphs that train).
 */

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Engine, logSoftmax, type Model } from '@parscale/core/internal/generation'
import { type ModelFolder, openDataset, type TokenizedDataset } from '@parscale/core/internal/node'
import { tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { evaluationBatches } from '@parscale/core/internal/training/data'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fetchText } from '../../../../scripts/fetch-text.mjs'
import { loadModel } from './load.ts'

/** As it was trained: sequences of so many tokens of one document each. */
const tokens = 256
const tolerance = 0.01
/** Of what streams change, measured on a part of the data: largest standard error, and how many of them it may be off. */
const [standardError, deviations] = [0.002, 4]

let folder: string
let loaded: { model: Model; backbone: ModelFolder; close(): Promise<void> }
let dataset: TokenizedDataset
/** By P. */
let stated: Map<number, number>
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-shipped-'))
  loaded = await loadModel()
  const card = (await loaded.backbone.readText('README.md'))!
  const rows = card.matchAll(/^\| held out of the data below \| (\d+) \| ([\d.]+) \|.*\| ([\d,]+) \|$/gm)
  const texts = (['text', 'books'] as const).map((kind) => join(fetchText(kind), '**/*.txt'))
  dataset = await openDataset(texts, {
    cacheDirectory: folder,
    tokenizerFiles: await tokenizerFiles(loaded.backbone),
    heldOutFraction: 0.1,
    seed: 0,
  })
  const found = [...rows].map(([, p, loss, count]) => ({
    p: Number(p),
    loss: Number(loss),
    count: Number(count!.replaceAll(',', '')),
  }))
  stated = new Map(found.map(({ p, loss }) => [p, loss]))
  // All of a document's tokens but the first are predicted.
  expect(found.map(({ count }) => count)).toEqual(Array(4).fill(dataset.heldOut.tokens - dataset.heldOut.documents))
})
afterAll(async () => {
  await dataset.close()
  await loaded.model.dispose()
  await loaded.close()
  rmSync(folder, { recursive: true })
})

interface SequenceLoss {
  readonly nats: number
  readonly count: number
}

/** Losses of every `every`-th sequence of the held-out data. */
async function heldOutLosses(p: number, every: number): Promise<SequenceLoss[]> {
  const engine = new Engine(loaded.model)
  const { vocabSize } = loaded.model.config
  const batches = evaluationBatches(dataset.heldOut, { batchSize: 1, tokens, packing: 'document' })
  const losses: SequenceLoss[] = []
  for (let step = 0; step < batches.steps; step += every) {
    const { ids, weights } = await batches.batch(step)
    const count = weights.lastIndexOf(1) + 1
    const sequence = engine.open({ p, room: count })
    const [result] = await engine.step([{ sequence, ids: [...ids.subarray(0, count)], want: 'all' }])
    let nats = 0
    for (let t = 0; t < count; t++) {
      nats -= logSoftmax(result!.logits.subarray(t * vocabSize, (t + 1) * vocabSize))[ids[t + 1]!]!
    }
    losses.push({ nats, count })
    engine.close(sequence)
  }
  return losses
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

it('P = 1 has the loss of the card', async () => {
  const losses = await heldOutLosses(1, 1)
  const loss = sum(losses.map(({ nats }) => nats)) / sum(losses.map(({ count }) => count))
  console.info(`P = 1: ${loss.toFixed(4)} nats a token, the card says ${stated.get(1)}`)
  expect(Math.abs(loss - stated.get(1)!)).toBeLessThan(tolerance)
})

it('2, 4 and 8 streams differ from one as the card says', async () => {
  const plain = await heldOutLosses(1, 8)
  const total = sum(plain.map(({ count }) => count))
  for (const p of [2, 4, 8]) {
    const gains = (await heldOutLosses(p, 8)).map(({ nats }, i) => nats - plain[i]!.nats)
    const difference = sum(gains) / total
    // Of a ratio of two means over sequences.
    const residuals = gains.map((gain, i) => gain - difference * plain[i]!.count)
    const error = Math.sqrt(sum(residuals.map((r) => r * r))) / total
    const expected = stated.get(p)! - stated.get(1)!
    console.info(
      `P = ${p}: ${difference.toFixed(4)} ± ${error.toFixed(4)} nats a token against P = 1, the card says ${expected.toFixed(4)}`,
    )
    expect(error).toBeLessThan(standardError)
    expect(Math.abs(difference - expected)).toBeLessThan(deviations * error)
    expect(difference).toBeLessThan(-deviations * error)
  }
})
