/** Against PyPI's `tokenizers`: fixtures/data/train-bpe.json, made by scripts/fixtures/make-data-fixtures.py. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { nastyTexts } from '../testing/fixtures.ts'
import { createTokenizer } from '../tokenizer.ts'
import { type BpePreTokenizer, bpePreTokenizers, type TrainBpeOptions, trainBpe } from './train-bpe.ts'

interface Case extends Required<TrainBpeOptions> {
  readonly expected: { readonly vocabSize: number; readonly firstTokens: string[]; readonly merges: string[] }
}

const readData = (name: string) => readFileSync(new URL(`../../../../../fixtures/data/${name}`, import.meta.url), 'utf8')
const text = readData('text.txt')
const { cases } = JSON.parse(readData('train-bpe.json')) as { cases: Case[] }

async function train(texts: Iterable<string>, options: TrainBpeOptions) {
  const files = await trainBpe(texts, options)
  const { vocab, merges } = (files.tokenizerJson as { model: { vocab: Record<string, number>; merges: string[][] } }).model
  return { files, vocab, merges: merges.map((merge) => merge.join(' ')) }
}

describe.each(cases)('$preTokenizer, $vocabSize tokens', ({ expected, ...options }) => {
  it('learns what the reference learns', async () => {
    const { vocab, merges } = await train([text], options)
    expect(merges).toEqual(expected.merges)
    // An object's keys that look like numbers come first: order is that of ids.
    const tokens = Object.entries(vocab).toSorted(([, a], [, b]) => a - b)
    expect(tokens.slice(0, 260).map(([token]) => token)).toEqual(expected.firstTokens)
    expect(tokens.map(([, id]) => id)).toEqual(Array.from({ length: expected.vocabSize }, (_, id) => id))
  })
})

it('does not depend on the order of texts', async () => {
  const parts = text.split('\n\n')
  const forwards = await train(parts, { vocabSize: 600 })
  expect(await train(parts.toReversed(), { vocabSize: 600 })).toEqual(forwards)
})

describe.each(bpePreTokenizers)('%s', (preTokenizer: BpePreTokenizer) => {
  it('round-trips any text', async () => {
    const { files } = await train([text], { vocabSize: 800, preTokenizer })
    const tokenizer = createTokenizer(files)
    const returns = (written: string): void => {
      expect(tokenizer.decode(tokenizer.encode(written))).toBe(written.replace(/\p{Cs}/gu, '\uFFFD'))
    }
    Object.values(nastyTexts).forEach(returns)
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 60 }), returns), { numRuns: 300 })
    expect(tokenizer.eosTokenIds).toEqual([0])
    expect(tokenizer.encode('<|endoftext|>', { allowSpecial: true })).toEqual([0])
    expect(tokenizer.encode(text).length).toBeLessThan(new TextEncoder().encode(text).length * 0.6)
  })
})

it.each([
  [{ vocabSize: 256 }, /expected 257 .* got 256/],
  [{ vocabSize: 1.5 }, /got 1.5/],
  [{ vocabSize: 300, specialTokens: ['<a>', '<a>'] }, /once/],
  [{ vocabSize: 300, specialTokens: ['a'] }, /longer than one byte/],
])('refuses %o', async (options, message) => {
  await expect(trainBpe([text], options)).rejects.toThrow(message)
})
