import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byteTokenizerFiles } from './byte-tokenizer.ts'
import { readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

const names = ['gpt2', 'qwen2', 'llama3', 'llama-spm', 'metaspace-first', 'metaspace-split']

describe.each(names)('%s', (name) => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })
  const byteIds = new Set(
    Array.from({ length: 256 }, (_, i) => tokenizer.idOf(`<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)),
  )
  const isByte = (id: number) => byteIds.has(id)
  const anyIds = fc.array(fc.nat(tokenizer.vocabSize + 5), { maxLength: 60 })

  it('streams what decoding all at once gives, for any ids', () => {
    const stream = tokenizer.streamDecoder()
    fc.assert(
      fc.property(anyIds, (ids) => {
        expect(ids.map((id) => stream.push(id)).join('') + stream.flush()).toBe(tokenizer.decode(ids))
      }),
    )
  })

  it('gives whole characters only, and nothing that a later token changes', () => {
    const stream = tokenizer.streamDecoder()
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const ids = tokenizer.encode(text, { addSpecial: false })
        const parts = ids.map((id) => stream.push(id))
        // Of whole text nothing is left but what later bytes would change: a run of byte tokens is text as a whole only.
        const endsInByte = ids.some(isByte) && isByte(ids.at(-1)!)
        const rest = stream.flush()
        if (!endsInByte) expect(rest).toBe('')
        // Every part is well-formed: no half of a surrogate pair, no U+FFFD.
        for (const part of [...parts, rest]) expect(part).not.toMatch(/\p{Cs}|\uFFFD/u)
        expect(parts.join('') + rest).toBe(tokenizer.decode(ids))
      }),
    )
  })
})

describe.each(names)('%s behind a prompt', (name) => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })

  it('streams the text of prompt and answer without that of the prompt', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), fc.nat(), (first, second, cut) => {
        const ids = tokenizer.encode(`${first} ${second}`)
        const after = ids.slice(0, cut % (ids.length + 1))
        const prompt = tokenizer.decode(after)
        const stream = tokenizer.streamDecoder({ after })
        const answer = ids.slice(after.length).map((id) => stream.push(id))
        answer.push(stream.flush())
        // A prompt that ends inside a character shows U+FFFD, which the answer's bytes make a character.
        fc.pre(tokenizer.decode(ids).startsWith(prompt))
        expect(prompt + answer.join('')).toBe(tokenizer.decode(ids))
      }),
    )
  })
})

describe('a run of byte tokens', () => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture('llama-spm.tokenizer.json') })
  const bytes = (...values: number[]) => values.map((value) => tokenizer.idOf(`<0x${value.toString(16).toUpperCase()}>`)!)

  // What tokenizers 0.23.3 decodes: the whole run is text, or each of its bytes is U+FFFD.
  it.each<[number[], string]>([
    [bytes(0xe4, 0xbd, 0xa0), '你'],
    [bytes(0xe4, 0xbd, 0xa0, 0xe5, 0xa5), '\uFFFD'.repeat(5)],
    [bytes(0xe4, 0xbd), '\uFFFD'.repeat(2)],
    [[...bytes(0xff), tokenizer.idOf('the')!], '\uFFFDthe'],
  ])('%j', (ids, text) => {
    expect(tokenizer.decode(ids)).toBe(text)
  })

  it('that the prompt began becomes text with the answer', () => {
    const stream = tokenizer.streamDecoder({ after: [tokenizer.idOf('the')!, ...bytes(0xe4, 0xbd)] })
    expect([...bytes(0xa0).map((id) => stream.push(id)), stream.flush()]).toEqual(['', '你'])
  })

  it('of which the prompt had whole characters goes on behind them', () => {
    const stream = tokenizer.streamDecoder({ after: [tokenizer.idOf('the')!, ...bytes(0xe4, 0xbd, 0xa0)] })
    expect([...bytes(0xe5, 0xa5, 0xbd).map((id) => stream.push(id)), stream.flush()].join('')).toBe('好')
  })
})

describe('bytes', () => {
  const tokenizer = createTokenizer(byteTokenizerFiles(['<s>', '</s>', '<pad>']))
  const streamed = (ids: number[], skipSpecial = false) => {
    const stream = tokenizer.streamDecoder({ skipSpecial })
    return [...ids.map((id) => stream.push(id)), stream.flush()]
  }

  it('wait for the rest of their character', () => {
    expect(streamed([0x61, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80])).toEqual(['a', '', '', '€', '', '', '', '😀', ''])
  })

  it('become U+FFFD when the rest cannot come any more', () => {
    expect(streamed([0xe2, 0x82])).toEqual(['', '', '\uFFFD'])
    expect(streamed([0xe2, 0x61])).toEqual(['', '\uFFFDa', ''])
    expect(streamed([0xff])).toEqual(['\uFFFD', ''])
  })

  it('keep a byte order mark', () => {
    expect(streamed([0xef, 0xbb, 0xbf, 0x61]).join('')).toBe('\uFEFFa')
  })

  it('leave special tokens out when asked', () => {
    expect(streamed([256, 0x61, 257]).join('')).toBe('<s>a</s>')
    expect(streamed([256, 0xe2, 257, 0x82, 0xac], true).join('')).toBe('€')
  })

  it('can be shown', () => {
    expect([0x61, 0xe2, 0x0a, 256, 999].map((id) => tokenizer.tokenText(id))).toEqual(['a', '<0xE2>', '\n', '<s>', ''])
  })

  it('have the ids that small models count on', () => {
    expect([tokenizer.vocabSize, tokenizer.bosTokenId, tokenizer.eosTokenIds]).toEqual([259, 256, [257]])
    expect(tokenizer.encode('<s>é')).toEqual([60, 115, 62, 0xc3, 0xa9])
    expect([tokenizer.idOf('<pad>'), tokenizer.isSpecial(258), tokenizer.isSpecial(60)]).toEqual([258, true, false])
  })
})

it('shows pieces of SentencePiece vocabularies as text', () => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture('llama-spm.tokenizer.json') })
  expect(tokenizer.tokenText(tokenizer.idOf('▁the')!)).toBe(' the')
  expect(tokenizer.tokenText(tokenizer.idOf('<0xE2>')!)).toBe('<0xE2>')
  expect(tokenizer.tokenText(tokenizer.idOf('<0x0A>')!)).toBe('\n')
})
