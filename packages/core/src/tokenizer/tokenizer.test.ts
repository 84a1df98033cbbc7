/** Against the Rust reference: fixtures/tokenizer, made by scripts/fixtures/make-tokenizer-fixtures.py. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checksum, nastyTexts, readExpected, readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

const names = ['gpt2', 'smollm', 'qwen2', 'llama3', 'llama-spm', 'metaspace-first', 'metaspace-split']

describe.each(names)('%s', (name) => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })
  const expected = readExpected(name)

  it.each(Object.keys(nastyTexts))('encodes %s as the reference does', (text) => {
    const { plain, special } = expected.texts[text]!
    expect(tokenizer.encode(nastyTexts[text]!, { addSpecial: false })).toEqual(plain)
    expect(tokenizer.encode(nastyTexts[text]!, { addSpecial: false, allowSpecial: true })).toEqual(special ?? plain)
  })

  it('decodes as the reference does', () => {
    for (const { plain, special, decoded } of Object.values(expected.texts)) {
      expect(tokenizer.decode(special ?? plain)).toBe(decoded)
    }
  })

  it('adds what the post-processor adds', () => {
    expect(tokenizer.encode('a')).toEqual(expected.with_special)
  })

  it('takes very long words and runs', () => {
    for (const { unit, times, ids, checksum: sum } of expected.long) {
      const encoded = tokenizer.encode(unit.repeat(times), { addSpecial: false })
      expect([encoded.length, checksum(encoded)]).toEqual([ids, sum])
    }
  })

  it('never makes a special token of ordinary text', () => {
    const spelling = fc.constantFrom(...tokenizer.specialTokens.filter((token) => token !== '<unk>'), '<', '|>', 'a', ' ', '\n')
    fc.assert(
      fc.property(fc.array(spelling), (parts) => {
        const ids = tokenizer.encode(parts.join(''), { addSpecial: false })
        expect(ids.filter((id) => tokenizer.isSpecial(id))).toEqual([])
      }),
    )
  })
})

describe('byte-level tokenizers', () => {
  // Qwen2's normalises to NFC, so only composed text comes back as it was.
  it.each(['gpt2', 'smollm', 'llama3'])('%s gives every text back', (name) => {
    const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, allowSpecial) => {
        expect(tokenizer.decode(tokenizer.encode(text, { addSpecial: false, allowSpecial }))).toBe(text)
      }),
    )
  })
})
