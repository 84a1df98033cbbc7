/** Small tokenizers, taken apart into what a GGUF file keeps of them, come back as they were: equal to the reference. */
import { describe, expect, it } from 'vitest'
import type { GgufValue } from '../../checkpoint/gguf/value.ts'
import { nastyTexts, readExpected, readFixture } from '../testing/fixtures.ts'
import { createTokenizer } from '../tokenizer.ts'
import { tokenizerFilesFromGguf } from './tokenizer.ts'

interface Json {
  readonly added_tokens: readonly { id: number; content: string; special: boolean }[]
  readonly model: { readonly vocab: Record<string, number>; readonly merges: readonly [string, string][] }
}

/** Metadata as llama.cpp's converter writes it. */
function metadataOf(json: Json, more: Record<string, GgufValue>): Map<string, GgufValue> {
  const tokens: string[] = []
  for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = token
  for (const { id, content } of json.added_tokens) tokens[id] = content
  const types = Int32Array.from(tokens, (token) => (/^<0x..>$/.test(token) ? 6 : 1))
  for (const { id, special, content } of json.added_tokens) types[id] = content === '<unk>' ? 2 : special ? 3 : 4
  const entries = Object.entries({ tokens, token_type: types, ...more }).map(([key, value]) => [`tokenizer.ggml.${key}`, value])
  return new Map(entries as [string, GgufValue][])
}

const mergesOf = (json: Json): string[] => json.model.merges.map((pair) => pair.join(' '))

function open(metadata: Map<string, GgufValue>) {
  const files = tokenizerFilesFromGguf(metadata)!
  return createTokenizer({ tokenizerJson: files['tokenizer.json'], tokenizerConfig: files['tokenizer_config.json'] })
}

const byteLevel = { gpt2: 'gpt-2', smollm: 'smollm', qwen2: 'qwen2', llama3: 'llama-bpe' }

describe.each(Object.entries(byteLevel))('%s', (name, pre) => {
  const json = readFixture(`${name}.tokenizer.json`) as Json
  const tokenizer = open(metadataOf(json, { model: 'gpt2', pre, merges: mergesOf(json), bos_token_id: 0, eos_token_id: 1 }))

  it('encodes as the reference does', () => {
    for (const [text, { plain, special }] of Object.entries(readExpected(name).texts)) {
      expect(tokenizer.encode(nastyTexts[text]!, { addSpecial: false }), text).toEqual(plain)
      expect(tokenizer.encode(nastyTexts[text]!, { addSpecial: false, allowSpecial: true }), text).toEqual(special ?? plain)
    }
    expect(tokenizer.encode('a')).toEqual(readExpected(name).with_special)
  })

  it('knows where texts begin and end', () => {
    expect([tokenizer.bosTokenId, tokenizer.eosTokenIds]).toEqual([0, [1]])
  })
})

describe('llama (SentencePiece)', () => {
  const json = readFixture('llama-spm.tokenizer.json') as Json
  const scores = Float32Array.from(readFixture('llama-spm.scores.json') as number[])
  const metadata = (more = {}) => metadataOf(json, { model: 'llama', scores, bos_token_id: 1, eos_token_id: 2, ...more })

  it('derives the merges that transformers derives', () => {
    const files = tokenizerFilesFromGguf(metadata())!
    expect((files['tokenizer.json'] as Json).model.merges).toEqual(json.model.merges)
  })

  it('encodes and decodes as the reference does', () => {
    const tokenizer = open(metadata())
    for (const [text, { plain, special, decoded }] of Object.entries(readExpected('llama-spm').texts)) {
      expect(tokenizer.encode(nastyTexts[text]!, { addSpecial: false }), text).toEqual(plain)
      expect(tokenizer.decode(special ?? plain), text).toBe(decoded)
    }
    expect(tokenizer.encode('a')).toEqual(readExpected('llama-spm').with_special)
  })

  it('adds a space, BOS and EOS only where the file says so', () => {
    const tokenizer = open(metadata({ add_space_prefix: false, add_bos_token: false, add_eos_token: true }))
    const ids = tokenizer.encode('the')
    expect(ids.at(-1)).toBe(2)
    expect(tokenizer.decode(ids, { skipSpecial: true })).toBe('the')
    expect(ids).not.toContain(1)
  })
})

describe('what a file may get wrong', () => {
  const json = readFixture('gpt2.tokenizer.json') as Json
  const good = { model: 'gpt2', pre: 'gpt-2', merges: mergesOf(json) }
  const outcome = (more: Record<string, GgufValue>) => () =>
    tokenizerFilesFromGguf(metadataOf(json, { ...good, ...more }), 'm.gguf')

  it.each<[Record<string, GgufValue>, RegExp]>([
    [{ model: 'bert' }, /m\.gguf: tokenizer\.ggml\.model "bert" is not supported; supported are gpt2 and llama/],
    [{ pre: 'constructor' }, /tokenizer\.ggml\.pre "constructor" is not supported; supported are default, gpt-2, smollm/],
    [{ token_type: new Int32Array(3) }, /token_type has 3 entries for \d+ tokens/],
    [{ tokens: 'text' }, /tokenizer\.ggml\.tokens should be a list of strings/],
    [{ model: 'llama' }, /tokenizer\.ggml\.scores is missing/],
    [{ merges: new Int32Array(1) }, /tokenizer\.ggml\.merges should be a list of strings/],
    [{ bos_token_id: 'one' }, /tokenizer\.ggml\.bos_token_id should be a number/],
  ])('%o', (more, message) => {
    expect(outcome(more)).toThrow(message)
  })

  it('has no tokenizer at all', () => {
    expect(tokenizerFilesFromGguf(new Map())).toBeUndefined()
  })
})
