import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byteTokenizerFiles } from './byte-tokenizer.ts'
import { readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

const names = ['gpt2', 'qwen2', 'llama3', 'llama-spm', 'metaspace-first', 'metaspace-split']

describe.each(names)('%s', (name) => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })
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
        // Of whole text nothing is left, and every part is well-formed: no half of a surrogate pair, no U+FFFD.
        expect(stream.flush()).toBe('')
        for (const part of parts) expect(part).not.toMatch(/\p{Cs}|\uFFFD/u)
        expect(parts.join('')).toBe(tokenizer.decode(ids))
      }),
    )
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
