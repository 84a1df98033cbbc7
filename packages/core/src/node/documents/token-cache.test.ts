import { appendFile, mkdir, mkdtemp, readdir, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isParscaleError } from '../../errors.ts'
import { byteTokenizerFiles, createTokenizer } from '../../tokenizer/index.ts'
import { trainingBatches } from '../../training/data/batches.ts'
import { documentFiles, readDocuments } from './documents.ts'
import { type DatasetOptions, openDataset } from './token-cache.ts'

const tokenizerFiles = byteTokenizerFiles(['<s>', '</s>'])
const tokenizer = createTokenizer(tokenizerFiles)
let folder: string
let options: DatasetOptions

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-tokens-'))
  options = { cacheDirectory: join(folder, 'cache'), tokenizerFiles, heldOutFraction: 0.3, separator: '\n\n' }
  await mkdir(join(folder, 'data'))
  const paragraphs = Array.from({ length: 40 }, (_, i) => `Paragraph ${i} of a text.`)
  await writeFile(join(folder, 'data', 'a.txt'), paragraphs.slice(0, 20).join('\n\n'))
  await writeFile(
    join(folder, 'data', 'b.jsonl'),
    paragraphs
      .slice(20)
      .map((text) => JSON.stringify({ text }))
      .join('\n'),
  )
})
afterEach(() => rm(folder, { recursive: true }))

const data = () => join(folder, 'data')
const cached = async () => (await readdir(join(folder, 'cache', 'tokens'))).length

/** Opens, looks and closes. */
async function open(changes: Partial<DatasetOptions> = {}, names: readonly string[] = [data()]) {
  const dataset = await openDataset(names, { ...options, ...changes })
  const { ids } = await dataset.train.read(0, dataset.train.tokens)
  await dataset.close()
  return { fromCache: dataset.fromCache, folder: dataset.folder, summary: dataset.summary, text: tokenizer.decode([...ids]) }
}

describe('a data set', () => {
  it('is made once and found again', async () => {
    const first = await open()
    expect(first.fromCache).toBe(false)
    expect(first.summary.train.documents + first.summary.heldOut.documents).toBe(40)
    expect(first.text.startsWith(first.summary.sample.slice(0, 20))).toBe(true)
    expect(await open()).toEqual({ ...first, fromCache: true })
    expect(await cached()).toBe(1)
  })

  it.each<[string, () => Promise<void> | void, Partial<DatasetOptions>]>([
    ['a file that grew', () => appendFile(join(data(), 'a.txt'), '\n\nOne more.'), {}],
    ['a file that was touched', () => utimes(join(data(), 'a.txt'), 1, 1), {}],
    ['another file', () => writeFile(join(data(), 'c.txt'), 'More.'), {}],
    ['another tokenizer', () => undefined, { tokenizerFiles: byteTokenizerFiles(['<s>', '</s>', '<x>']) }],
    ['another seed', () => undefined, { seed: 1 }],
    ['another fraction', () => undefined, { heldOutFraction: 0.5 }],
    ['another separator', () => undefined, { separator: '. ' }],
    ['no end of text', () => undefined, { eosTokenId: null }],
  ])('is made anew for %s', async (_, change, changes) => {
    await open()
    await change()
    expect((await open(changes)).fromCache).toBe(false)
    expect(await cached()).toBe(2)
  })

  it.each<[string, (path: string) => Promise<void>]>([
    ['cut off', (path) => truncate(path, 100)],
    ['overwritten', (path) => writeFile(path, 'something else')],
    ['removed', (path) => rm(path)],
  ])('is made anew where a file was %s', async (_, damage) => {
    const first = await open()
    await damage(join(first.folder, 'held-out.tokens'))
    expect(await open()).toEqual(first)
    expect((await open()).fromCache).toBe(true)
  })

  it('is the same for all who ask at once', async () => {
    const asked = await Promise.all([open(), open(), open()])
    expect(new Set(asked.map(({ text }) => text)).size).toBe(1)
    expect((await open()).fromCache).toBe(true)
    expect(await cached()).toBe(1)
  })

  it('leaves nothing behind when it cannot be made', async () => {
    await writeFile(join(data(), 'c.jsonl'), '{"text":"fine"}\n{"text":')
    await expect(open()).rejects.toThrow(/c\.jsonl, line 2: expected one JSON object/)
    expect(await cached()).toBe(0)
    const { summary } = await open({ skipBad: true })
    expect(summary.skipped.badJson).toBe(1)
  })

  it('clears away what killed processes left, once it is old', async () => {
    const left = ['x.partial-old', 'x.partial-new'].map((name) => join(folder, 'cache', 'tokens', name))
    for (const path of left) {
      await mkdir(path, { recursive: true })
      await writeFile(join(path, 'train.tokens'), 'unfinished')
    }
    await utimes(join(left[0]!, 'train.tokens'), 1, 1)
    const made = await open()
    const there = (await readdir(join(folder, 'cache', 'tokens'))).sort()
    expect(there).toEqual([basename(made.folder), 'x.partial-new'].sort())
  })

  it('gives batches', async () => {
    const dataset = await openDataset([data()], options)
    const { ids } = await trainingBatches(dataset.train, { batchSize: 2, tokens: 8, seed: 0 }).batch(3)
    expect(ids).toHaveLength(18)
    await dataset.close()
  })

  it('needs a chat template for conversations', async () => {
    await writeFile(join(data(), 'c.jsonl'), '{"messages":[{"role":"user","content":"a"}]}')
    await expect(open()).rejects.toThrow(/c\.jsonl, line 1: is a conversation/)
    await expect(open({ chat: true })).rejects.toThrow('the tokenizer has no chat template')
  })
})

describe('documents', () => {
  it('come from all files, each once, in order', async () => {
    const files = await documentFiles([join(data(), '*.jsonl'), data()])
    expect(files).toEqual([join(data(), 'b.jsonl'), join(data(), 'a.txt')])
    const wheres: string[] = []
    for await (const { where } of readDocuments(files)) wheres.push(where)
    expect(wheres).toHaveLength(21)
    expect(wheres.at(-1)).toBe(join(data(), 'a.txt'))
  })

  it('cannot come from nothing', async () => {
    await writeFile(join(data(), 'empty.txt'), '')
    await expect(documentFiles([join(data(), 'empty.txt')])).rejects.toThrow(/empty\.txt are empty/)
    await expect(documentFiles([])).rejects.toSatisfy(isParscaleError)
    await expect(documentFiles([join(folder, 'nowhere')])).rejects.toThrow('no such files')
  })
})
