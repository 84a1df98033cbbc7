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

/** As it was trained: sequences of so many tokens, in which documents do not see each other. */
const tokens = 512
const tolerance = 0.01
/** Of what streams change, measured on a part of the data: they vary far less from text to text than losses do. */
const differenceTolerance = 0.002

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
  dataset = await openDataset([join(fetchText('text'), '**/*.txt')], {
    cacheDirectory: folder,
    tokenizerFiles: await tokenizerFiles(loaded.backbone),
    heldOutFraction: 0.05,
    seed: 0,
  })
  const found = [...rows].map(([, p, loss, count]) => ({
    p: Number(p),
    loss: Number(loss),
    count: Number(count!.replaceAll(',', '')),
  }))
  stated = new Map(found.map(({ p, loss }) => [p, loss]))
  // All of the held-out tokens but the very first are predicted.
  expect(found.map(({ count }) => count)).toEqual(Array(4).fill(dataset.heldOut.tokens - 1))
})
afterAll(async () => {
  await dataset.close()
  await loaded.model.dispose()
  await loaded.close()
  rmSync(folder, { recursive: true })
})

/** Mean loss in nats a token over every `every`-th sequence of the held-out data. */
async function heldOutLoss(p: number, every: number): Promise<number> {
  const engine = new Engine(loaded.model)
  const { vocabSize } = loaded.model.config
  const batches = evaluationBatches(dataset.heldOut, { batchSize: 1, tokens })
  let [nats, count] = [0, 0]
  for (let step = 0; step < batches.steps; step += every) {
    const { ids, weights, documents } = await batches.batch(step)
    const length = weights.lastIndexOf(1) + 1
    for (let start = 0; start < length; ) {
      const next = documents.findIndex((document, t) => t > start && document !== documents[start])
      const end = next === -1 ? length : Math.min(next, length)
      // Positions go on counting where a document begins in the middle.
      const sequence = engine.open({ p, firstPosition: start, room: end - start })
      const [result] = await engine.step([{ sequence, ids: [...ids.subarray(start, end)], want: 'all' }])
      for (let t = start; t < end; t++) {
        const at = (t - start) * vocabSize
        nats -= logSoftmax(result!.logits.subarray(at, at + vocabSize))[ids[t + 1]!]!
        count++
      }
      engine.close(sequence)
      start = end
    }
  }
  return nats / count
}

it('P = 1 has the loss of the card', async () => {
  const loss = await heldOutLoss(1, 1)
  console.info(`P = 1: ${loss.toFixed(4)} nats a token, the card says ${stated.get(1)}`)
  expect(Math.abs(loss - stated.get(1)!)).toBeLessThan(tolerance)
})

it('2, 4 and 8 streams differ from one as the card says', async () => {
  const plain = await heldOutLoss(1, 8)
  for (const p of [2, 4, 8]) {
    const difference = (await heldOutLoss(p, 8)) - plain
    const expected = stated.get(p)! - stated.get(1)!
    console.info(`P = ${p}: ${difference.toFixed(4)} nats a token against P = 1, the card says ${expected.toFixed(4)}`)
    expect(Math.abs(difference - expected)).toBeLessThan(differenceTolerance)
  }
})
