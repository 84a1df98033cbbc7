/** Several megabytes of real text: this repository's pages and the sources of what it is built with. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTokenizer, type Tokenizer, type TokenizerFiles } from '../../tokenizer/index.ts'
import { trainBpe } from '../../tokenizer/train-bpe/train-bpe.ts'
import { evaluationBatches, trainingBatches } from '../../training/data/batches.ts'
import { bytesPerToken } from '../../training/data/dataset-summary.ts'
import { documentFiles, readDocuments } from './documents.ts'
import { openDataset, type TokenizedDataset } from './token-cache.ts'

const root = fileURLToPath(new URL('../../../../../', import.meta.url))
const names = ['docs/*.md', 'README.md', 'node_modules/typescript/lib/*.d.ts', 'node_modules/@types/node/**/*.ts'].map(
  (name) => root + name,
)

let folder: string
let files: readonly string[]
let tokenizerFiles: TokenizerFiles
let tokenizer: Tokenizer
let dataset: TokenizedDataset

async function* texts(): AsyncGenerator<string> {
  for await (const document of readDocuments(files)) if ('text' in document) yield document.text
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-data-'))
  files = await documentFiles(names)
  const started = performance.now()
  tokenizerFiles = await trainBpe(texts(), { vocabSize: 8192 })
  const trained = performance.now()
  tokenizer = createTokenizer(tokenizerFiles)
  dataset = await openDataset(names, { cacheDirectory: folder, tokenizerFiles, heldOutFraction: 0.1 })
  const { sample: _, ...summary } = dataset.summary
  const seconds = { trainBpe: (trained - started) / 1e3, tokenize: (performance.now() - trained) / 1e3 }
  console.log(summary, seconds)
})
afterAll(async () => {
  await dataset.close()
  await rm(folder, { recursive: true })
})

it('loses no text, and adds only ends', async () => {
  const { train, heldOut, summary } = dataset
  const found = new Set<string>()
  for (const file of [train, heldOut]) {
    for (const [d, end] of file.ends.entries()) {
      const start = file.ends[d - 1] ?? 0
      const { ids } = await file.read(start, end - start)
      expect(ids.at(-1)).toBe(tokenizer.eosTokenIds[0])
      found.add(tokenizer.decode([...ids.subarray(0, -1)]))
    }
  }
  let documents = 0
  for await (const text of texts()) {
    if (found.has(text)) documents++
  }
  expect(documents).toBeGreaterThanOrEqual(found.size)
  expect(found.size).toBe(train.documents + heldOut.documents)
  expect(found.size + summary.duplicatesRemoved + summary.skipped.empty).toBe(files.length)
})

it('encodes as the tokenizer does', async () => {
  const { train } = dataset
  for (const d of [0, 1, train.documents - 1]) {
    const start = train.ends[d - 1] ?? 0
    const { ids } = await train.read(start, train.ends[d]! - start)
    expect([...ids.subarray(0, -1)]).toEqual(tokenizer.encode(tokenizer.decode([...ids.subarray(0, -1)])))
  }
})

it('fits the text', () => {
  expect(bytesPerToken(dataset.summary)).toBeGreaterThan(3)
  expect(dataset.summary.train.documents).toBeGreaterThan(dataset.summary.heldOut.documents)
})

it('predicts every token once, and trains on as many as there are', async () => {
  const { train, heldOut } = dataset
  const options = { batchSize: 8, tokens: 256 }
  for (const file of [train, heldOut]) {
    const batches = evaluationBatches(file, options)
    let counted = 0
    for (let step = 0; step < batches.steps; step++) counted += (await batches.batch(step)).weights.reduce((a, b) => a + b)
    expect(counted).toBe(file.tokens - 1)
  }
  expect(trainingBatches(train, { ...options, seed: 1 }).sequences).toBe(Math.floor((train.tokens - 1) / 256))
})
