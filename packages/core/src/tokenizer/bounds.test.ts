/** Hostile tokenizer.json files and huge texts: bounded by a multiple of their size, or refused by name. */
import { describe, expect, it } from 'vitest'
import { isParscaleError } from '../errors.ts'
import { addedTokenFinder } from './added-tokens.ts'
import { byteTokenizerFiles } from './byte-tokenizer.ts'
import { maxGrowth, parseNormalizer } from './normalizer.ts'
import { createChatTemplate } from './templates/chat-template.ts'
import { readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

const good = readFixture('gpt2.tokenizer.json') as Record<string, unknown> & {
  model: Record<string, unknown>
  added_tokens: object[]
}
const replace = (pattern: object, content: string) => ({ type: 'Replace', pattern, content })
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value)

function refusal(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (isParscaleError(error)) return error.message
    throw error
  }
  return 'not refused'
}

describe('normalizers that make a text grow', () => {
  it.each<[string, object[]]>([
    ['one letter becomes two, thirty times', times(30, replace({ String: 'a' }, 'aa'))],
    ['by a pattern', times(30, replace({ Regex: 'a' }, 'aa'))],
    ['a pattern that matches nothing', times(30, replace({ Regex: '' }, 'aa'))],
    ['at once', [replace({ String: 'a' }, 'a'.repeat(1e6))]],
    ['between all characters', [replace({ Regex: '(?=.)|$' }, 'b'.repeat(1e6))]],
    ['before', times(30, { type: 'Prepend', prepend: 'a'.repeat(5000) })],
  ])('%s', (_, normalizers) => {
    const text = 'a'.repeat(100)
    const { normalize } = parseNormalizer({ type: 'Sequence', normalizers } as never, 'dir')
    expect(refusal(() => normalize(text))).toMatch(
      new RegExp(
        `dir: a normalizer \\("\\w+"\\) that makes a text of 100 characters longer than ${4096 + maxGrowth * 100} is not supported`,
      ),
    )
  })

  it('but what Unicode makes long is not refused', () => {
    const { normalize } = parseNormalizer({ type: 'NFKC' }, 'dir')
    expect(normalize('\ufdfa'.repeat(10_000)).text).toHaveLength(180_000)
  })
})

describe('files with too many parts', () => {
  let nested: object = { type: 'NFC' }
  for (let depth = 0; depth < 20_000; depth++) nested = { type: 'Sequence', normalizers: [nested] }

  it.each<[string, object, RegExp]>([
    [
      'normalizers',
      { normalizer: { type: 'Sequence', normalizers: times(1000, { type: 'NFC' }) } },
      /more than 32 parts of kind normalizer/,
    ],
    ['nested normalizers', { normalizer: nested }, /nested too deep/],
    [
      'pre-tokenizers',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: times(1000, { type: 'Digits' }) } },
      /more than 32 parts of kind pre_tokenizer/,
    ],
    [
      'byte levels',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: times(9, { type: 'ByteLevel' }) } },
      /more than one "ByteLevel"/,
    ],
    [
      'ids around a text',
      {
        post_processor: {
          type: 'TemplateProcessing',
          single: times(1000, { SpecialToken: { id: 's' } }),
          special_tokens: { s: { ids: times(1000, 1) } },
        },
      },
      /more than 256 ids around a text/,
    ],
    ['processors', { post_processor: { type: 'Sequence', processors: times(1000, { type: 'ByteLevel' }) } }, /1000 processors/],
    [
      'decoders that lengthen',
      { decoder: { type: 'Sequence', decoders: times(10, replace({ String: 'a' }, 'aa')) } },
      /decoder "Sequence of Replace" is not supported/,
    ],
  ])('%s', (_, parts, message) => {
    expect(refusal(() => createTokenizer({ tokenizerJson: { ...good, ...parts } }, 'dir'))).toMatch(message)
  })
})

it('takes special tokens by the hundred thousand', () => {
  const added = Array.from({ length: 200_000 }, (_, i) => ({
    id: 1000 + i,
    content: `<|reserved_${i}|>`,
    special: true,
    normalized: i % 2 === 0,
  }))
  const tokenizer = createTokenizer({ tokenizerJson: { ...good, added_tokens: [...good.added_tokens, ...added] } })
  expect(tokenizer.specialTokens).toHaveLength(200_001)
  const text = '<|reserved_1|><|reserved_123456|><|reserved_1234567|>'
  expect(tokenizer.encode(text, { allowSpecial: true }).slice(0, 2)).toEqual([1001, 124_456])
})

it('compares no more of a text than the longest added token has', () => {
  const token = { id: 1, content: `${'a'.repeat(1000)}b`, special: false, normalized: false }
  const finder = addedTokenFinder([[token.content, token]], 'dir')
  let asked = 0
  class Watched extends String {
    override charCodeAt(at: number): number {
      asked++
      return super.charCodeAt(at)
    }
  }
  const text = new Watched('a'.repeat(5000)) as unknown as string
  expect([...finder.split(text, () => true)]).toEqual([{ start: 0, end: 5000, token: undefined }])
  expect(asked).toBeLessThan(5000 * 1010)
})

describe('long texts', () => {
  const tokenizer = createTokenizer({ tokenizerJson: good })

  it.each([
    ['one word', 'ab'.repeat(150_000)],
    ['spaces', ' '.repeat(300_000)],
    ['lines', 'a line of words\n'.repeat(20_000)],
  ])('%s: in turns the same ids as in one go', async (_, text) => {
    let turns = 0
    let open = true
    const count = () => {
      turns++
      if (open) setImmediate(count)
    }
    setImmediate(count)
    const ids = await tokenizer.encodeLong(text)
    open = false
    expect(ids).toEqual(tokenizer.encode(text))
    expect(turns).toBeGreaterThan(1)
  })

  it('can be stopped between two turns', async () => {
    const controller = new AbortController()
    setImmediate(() => controller.abort(new Error('enough')))
    await expect(tokenizer.encodeLong('a line of words\n'.repeat(50_000), { signal: controller.signal })).rejects.toThrow(
      'enough',
    )
  })

  it('are refused before they are encoded when they cannot fit', async () => {
    const bytes = createTokenizer(byteTokenizerFiles(['<s>', '</s>']))
    const text = 'x'.repeat(4_000_001)
    const message =
      /the prompt of 4000001 characters has at least 1000001 tokens \(one is at most 4 characters long\), the model's context is 2048; shorten the prompt/
    expect(refusal(() => bytes.encode(text, { context: 2048 }))).toMatch(message)
    await expect(bytes.encodeLong(text, { context: 2048 })).rejects.toThrow(message)
    expect(refusal(() => bytes.encode('x'.repeat(8192), { context: 2048 }))).toBe('not refused')
  })

  it('of a conversation are bounded and stopped like others', async () => {
    const chatTemplate = '{% for m in messages %}{{ m.content }}{% endfor %}'
    const template = createChatTemplate({ tokenizerJson: good, chatTemplate }, tokenizer)!
    const turns = (count: number) => times(4, { role: 'user', content: 'a line of words\n'.repeat(count) })
    expect(await template.encodeLong(turns(5000))).toEqual(template.encode(turns(5000)))
    const controller = new AbortController()
    setImmediate(() => controller.abort(new Error('enough')))
    await expect(template.encodeLong(turns(50_000), { signal: controller.signal })).rejects.toThrow('enough')
    const overlong = { what: 'the conversation', advice: 'say less' }
    await expect(template.encodeLong(turns(50_000), { context: 300, overlong })).rejects.toThrow(
      /^the conversation of 3200000 characters has at least \d+ tokens \(.*\), the model's context is 300; say less$/,
    )
  })

  it('are not encoded beyond four contexts', () => {
    const text = 'a b '.repeat(1000)
    expect(tokenizer.encode(text, { context: 501 }).length).toBeLessThanOrEqual(2004)
    expect(refusal(() => tokenizer.encode(text, { context: 300 }))).toMatch(
      /has more than 1200 tokens, the model's context is 300/,
    )
  })

  it('are not refused by their length where white space is part of other tokens, or characters run together', () => {
    const added = { id: 900, content: '<end>', special: true, normalized: false, rstrip: true }
    const stripping = createTokenizer({ tokenizerJson: { ...good, added_tokens: [...good.added_tokens, added] } })
    expect(stripping.encode(`<end>${' '.repeat(100_000)}`, { context: 4, allowSpecial: true })).toEqual([900])
    const removing = { type: 'Split', pattern: { String: '-' }, behavior: 'Removed', invert: false }
    const cut = createTokenizer({
      tokenizerJson: { ...good, pre_tokenizer: { type: 'Sequence', pretokenizers: [removing, good.pre_tokenizer] } },
    })
    expect(cut.encode('-'.repeat(100_000), { context: 4 })).toEqual([])
    const spm = readFixture('llama-spm.tokenizer.json') as typeof good
    const fused = createTokenizer({ tokenizerJson: { ...spm, model: { ...spm.model, byte_fallback: false } } })
    expect(fused.encode('日'.repeat(100_000), { context: 8 }).length).toBeLessThan(8)
  })
})
