import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { byteTokenizerFiles, createChatTemplate, createTokenizer } from '../../tokenizer/index.ts'
import { bytesPerToken, datasetSummary } from './dataset-summary.ts'
import { documentDigest, tokenizerDigest } from './digest.ts'
import { digestSet } from './digest-set.ts'
import type { TrainingDocument } from './documents.ts'
import { heldOutSplit } from './split.ts'
import { openTokenFile, type TokenFile } from './token-file.ts'
import { type TokenizeOptions, tokenizeDataset } from './tokenize-dataset.ts'

const files = byteTokenizerFiles(['<s>', '</s>'])
const tokenizer = createTokenizer(files)
const skipped = { empty: 0, notUtf8: 0, badJson: 0, missingField: 0, tooLong: 0 }

async function tokenize(documents: readonly TrainingDocument[], options: Partial<TokenizeOptions> = {}) {
  const sinks = { train: memorySink(), heldOut: memorySink() }
  const summary = await tokenizeDataset(stream(documents), sinks, {
    tokenizer,
    tokenizerDigest: await tokenizerDigest(files),
    heldOutFraction: 0.3,
    seed: 1,
    sources: [],
    skipped,
    ...options,
  })
  const open = (bytes: Uint8Array, name: string) => openTokenFile(bytesSource(bytes, name))
  return { summary, train: await open(sinks.train.bytes(), 'train'), heldOut: await open(sinks.heldOut.bytes(), 'held-out') }
}

async function* stream<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items
}

async function texts(file: TokenFile): Promise<string[]> {
  const { ids } = await file.read(0, file.tokens)
  return tokenizer
    .decode([...ids])
    .split('</s>')
    .slice(0, -1)
}

const textDocuments = (list: readonly string[]): TrainingDocument[] => list.map((text) => ({ text, where: 'x' }))
const sentences = Array.from({ length: 100 }, (_, i) => `Sentence number ${i}.`)

describe('a data set', () => {
  it('has every document once, on one side, in order, with an end', async () => {
    const copies = [...sentences, ' Sentence  number 3. ', 'Sentence\nnumber 4.', sentences[5]!]
    const { summary, train, heldOut } = await tokenize(textDocuments(copies))
    const [trained, held] = [await texts(train), await texts(heldOut)]
    expect([...trained, ...held].toSorted()).toEqual(sentences.toSorted())
    expect(trained).toEqual(sentences.filter((text) => trained.includes(text)))
    expect(held.length).toBeGreaterThan(15)
    expect(held.length).toBeLessThan(45)
    const bytes = sentences.join('').length
    expect(summary).toMatchObject({
      train: { documents: trained.length, tokens: train.tokens },
      heldOut: { documents: held.length, tokens: heldOut.tokens },
      duplicatesRemoved: 3,
      textBytes: bytes,
      countedTokens: bytes + 100,
      largestTokenId: 257,
      sample: 'Sentence number 0.</s>',
    })
    expect(bytesPerToken(summary)).toBe(bytes / (bytes + 100))
    expect(datasetSummary.parse((train.about as { summary: unknown }).summary)).toEqual(summary)
  })

  it('keeps documents on their side when others are added', async () => {
    const more = [...sentences, ...sentences.map((text) => `${text} And more.`)]
    const [before, after] = [await tokenize(textDocuments(sentences)), await tokenize(textDocuments(more.toReversed()))]
    expect(await texts(after.heldOut)).toEqual(expect.arrayContaining(await texts(before.heldOut)))
    expect(await texts(after.train)).toEqual(expect.arrayContaining(await texts(before.train)))
  })

  it('holds out others with another seed, and nothing if so asked', async () => {
    const [one, two] = [await tokenize(textDocuments(sentences)), await tokenize(textDocuments(sentences), { seed: 2 })]
    expect(await texts(one.heldOut)).not.toEqual(await texts(two.heldOut))
    const { train, heldOut } = await tokenize(textDocuments(sentences), { heldOutFraction: 0 })
    expect([train.documents, heldOut.documents]).toEqual([100, 0])
  })

  it('learns the answers of conversations, and texts as a whole', async () => {
    const chatTemplate = createChatTemplate(
      {
        ...files,
        chatTemplate:
          '{% for m in messages %}<s>{{ m.role[0] }}{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>a{% endif %}',
      },
      tokenizer,
    )!
    const documents: TrainingDocument[] = [
      {
        messages: [
          { role: 'user', content: 'Hi' },
          { role: 'assistant', content: 'Ho' },
        ],
        where: 'x',
      },
      { messages: [{ role: 'user', content: 'Alone' }], where: 'x' },
      { text: 'Text', where: 'x' },
    ]
    const { summary, train } = await tokenize(documents, { chatTemplate, heldOutFraction: 0 })
    const { ids, counted } = await train.read(0, train.tokens)
    expect(tokenizer.decode([...ids])).toBe('<s>uHi</s><s>aHo</s>Text</s>')
    expect(tokenizer.decode([...ids].filter((_, i) => counted![i]))).toBe('Ho</s>Text</s>')
    expect(summary).toMatchObject({ withoutAnswer: 1, countedTokens: 8, textBytes: 8 })
    await expect(tokenize(documents)).rejects.toThrow('x: is a conversation')
  })

  it.each<[string, readonly string[], Partial<TokenizeOptions>, RegExp]>([
    ['no documents', [], { skipped: { ...skipped, badJson: 2 } }, /no documents to train on \(2 badJson\)/],
    ['one document', ['a'], {}, /the held-out side of 1 documents is empty|the training side of 1 documents is empty/],
    ['a bad fraction', ['a'], { heldOutFraction: 1 }, /from 0 to below 1, got 1/],
    ['a bad seed', ['a'], { seed: 0.5 }, /seed must be an integer/],
  ])('refuses %s', async (_, list, options, message) => {
    await expect(tokenize(textDocuments(list), options)).rejects.toThrow(message)
  })

  it('needs to know how texts end', async () => {
    const endless = createTokenizer(byteTokenizerFiles(['<s>']))
    await expect(tokenize(textDocuments(['a']), { tokenizer: endless })).rejects.toThrow('eos_token')
    const { train } = await tokenize(textDocuments(['a', 'b']), { tokenizer: endless, eosTokenId: null, heldOutFraction: 0 })
    expect([...(await train.read(0, 2)).ids]).toEqual([97, 98])
  })

  it('stops when told to', async () => {
    await expect(tokenize(textDocuments(['a']), { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
  })
})

it('tells documents apart by what they say, whatever the whitespace', async () => {
  const digest = (text: string) => documentDigest({ text, where: 'x' })
  expect(await digest(' a\n\tb ')).toBe(await digest('a b'))
  expect(await digest('ab')).not.toBe(await digest('a b'))
  const chat = (role: string, content: string) => documentDigest({ messages: [{ role, content }], where: 'x' })
  expect(await chat('user', 'a')).not.toBe(await chat('assistant', 'a'))
})

it('holds out the share it is asked for', () => {
  for (const heldOutFraction of [0, 0.01, 0.5, 0.9]) {
    const isHeldOut = heldOutSplit({ heldOutFraction, seed: 5 })
    const held = Array.from({ length: 20_000 }, (_, i) => isHeldOut(BigInt(i))).filter(Boolean).length
    // Five standard deviations of a binomial count.
    expect(Math.abs(held - 20_000 * heldOutFraction)).toBeLessThanOrEqual(
      5 * Math.sqrt(20_000 * heldOutFraction * (1 - heldOutFraction)),
    )
  }
})

it('keeps digests as a set does', () => {
  const digest = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 2n, max: 40n }))
  fc.assert(
    fc.property(fc.array(digest, { maxLength: 3000, size: 'max' }), (digests) => {
      const [ours, real] = [digestSet(), new Set<bigint>()]
      for (const each of digests) {
        expect(ours.add(each)).toBe(!real.has(each))
        real.add(each)
      }
    }),
    { numRuns: 30 },
  )
})
