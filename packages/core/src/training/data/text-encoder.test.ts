import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTokenizer } from '../../tokenizer/index.ts'
import { nastyTexts, readFixture } from '../../tokenizer/testing/fixtures.ts'
import { textEncoding } from './text-encoder.ts'

const names = ['gpt2', 'smollm', 'qwen2', 'llama3', 'llama-spm', 'metaspace-first', 'metaspace-split']

describe.each(names)('%s', (name) => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture(`${name}.tokenizer.json`) })

  it('encodes every text as the tokenizer does', () => {
    const encoding = textEncoding(tokenizer)
    const texts = Object.values(nastyTexts)
    // Twice: the second time pieces are remembered, and trying is over.
    for (const text of [...texts, texts.join(' ').repeat(20), ...texts]) {
      expect(Array.from(encoding.encode(text))).toEqual(tokenizer.encode(text))
    }
  })

  it('encodes what nobody writes as the tokenizer does', () => {
    const encoding = textEncoding(tokenizer)
    encoding.encode(Object.values(nastyTexts).join(' ').repeat(20))
    const parts = fc.constantFrom(
      'a',
      'B',
      '1',
      '2',
      ' ',
      '\n',
      "'s",
      "'",
      '.',
      '(',
      'é',
      'e\u0301',
      '\u0301',
      '한',
      '㎏',
      '𝟘',
      '\uD800',
    )
    const text = fc.array(fc.oneof(parts, fc.string({ unit: 'binary', maxLength: 3 })), { maxLength: 30 })
    fc.assert(
      fc.property(text, (pieces) => {
        expect(Array.from(encoding.encode(pieces.join('')))).toEqual(tokenizer.encode(pieces.join('')))
      }),
      { numRuns: 500 },
    )
  })
})

it('keeps tokens whole that a tokenizer finds before it cuts words', () => {
  const json = structuredClone(readFixture('gpt2.tokenizer.json')) as { added_tokens: object[]; model: { vocab: object } }
  const id = Object.keys(json.model.vocab).length + json.added_tokens.length
  json.added_tokens.push({ id, content: 'x<think>', special: false, normalized: false })
  const tokenizer = createTokenizer({ tokenizerJson: json })
  const encoding = textEncoding(tokenizer)
  encoding.encode('plain words '.repeat(10_000))
  expect(Array.from(encoding.encode('ax<think>b'))).toEqual(tokenizer.encode('ax<think>b'))
  expect(Array.from(encoding.encode('ax<think>b'))).toContain(id)
})

it.each([{ rstrip: true }, { lstrip: true }, { single_word: true }, { normalized: true }])(
  'keeps to tokens that look around, %j',
  async (flags) => {
    const json = structuredClone(readFixture('gpt2.tokenizer.json')) as { added_tokens: object[]; normalizer: object }
    json.normalizer = { type: 'Lowercase' }
    json.added_tokens.push({ id: 2000, content: 'hello', special: false, normalized: false, ...flags })
    const tokenizer = createTokenizer({ tokenizerJson: json })
    const encoding = textEncoding(tokenizer)
    encoding.encode('plain words '.repeat(10_000))
    for (const text of ['hello  world', 'a  hello world', 'hello1 hello', 'HELLO world', 'helloworld']) {
      expect(Array.from(encoding.encode(text))).toEqual(tokenizer.encode(text))
    }
  },
)

it('encodes a long text in turns as in one go, and can be stopped', async () => {
  const tokenizer = createTokenizer({ tokenizerJson: readFixture('gpt2.tokenizer.json') })
  const text = 'some words of a long line '.repeat(40_000)
  const ids = await textEncoding(tokenizer).encodeLong(text)
  expect(ids).toEqual(textEncoding(tokenizer).encode(text))
  const controller = new AbortController()
  setImmediate(() => controller.abort(new Error('enough')))
  // No word comes twice, so that none is remembered, and the work takes many times as long as until its first pause.
  const words = Array.from({ length: 200_000 }, (_, i) => `word${i.toString(36)}`).join(' ')
  await expect(textEncoding(tokenizer).encodeLong(words, controller.signal)).rejects.toThrow('enough')
})
