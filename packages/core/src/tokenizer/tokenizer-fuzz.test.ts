/** Damaged files: whatever is in them, a tokenizer comes of it or our error does. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { GgufValue } from '../checkpoint/gguf/value.ts'
import { isParscaleError } from '../errors.ts'
import { tokenizerFilesFromGguf } from './gguf/tokenizer.ts'
import { createChatTemplate } from './templates/chat-template.ts'
import { readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'

const names = ['gpt2', 'qwen2', 'llama3', 'llama-spm', 'metaspace-split']

/** Fewer pieces, so that damage hits something else than the vocabulary. */
function smaller(json: { model: { vocab: Record<string, number>; merges: unknown[] } }) {
  const vocab = Object.fromEntries(Object.entries(json.model.vocab).slice(0, 300))
  return { ...json, model: { ...json.model, vocab, merges: json.model.merges.slice(0, 3) } }
}
const files = names.map((name) => smaller(readFixture(`${name}.tokenizer.json`) as Parameters<typeof smaller>[0]))

/** A copy of `json` in which the value at a place found by following `turns` is `damage`; undefined takes it out. */
function damaged(json: unknown, turns: readonly number[], damage: unknown): unknown {
  const [turn, ...rest] = turns
  if (turn === undefined || typeof json !== 'object' || json === null) return damage
  const keys = Object.keys(json)
  const key = keys[turn % Math.max(1, keys.length)] ?? ''
  const copy = Array.isArray(json) ? [...json] : { ...json }
  return Object.assign(copy, { [key]: damaged((json as Record<string, unknown>)[key], rest, damage) })
}

function ours(work: () => unknown): void {
  try {
    work()
  } catch (error) {
    if (!isParscaleError(error)) throw error
  }
}

const anyDamage = fc.oneof(
  fc.constant(undefined),
  fc.jsonValue(),
  fc.constantFrom('ByteLevel', 'Split', 'Sequence', 'Metaspace', 'Strip', 'Replace', '__proto__', '(', [], {}, -1, 1e9),
)

it('tokenizer.json', () => {
  const turns = fc.array(fc.nat(50), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(fc.constantFrom(...files), turns, anyDamage, fc.string({ unit: 'grapheme' }), (json, path, damage, text) => {
      ours(() => {
        const tokenizer = createTokenizer({ tokenizerJson: damaged(json, path, damage) })
        const ids = tokenizer.encode(text, { allowSpecial: true })
        expect(typeof tokenizer.decode(ids)).toBe('string')
      })
    }),
    { numRuns: 3000 },
  )
})

it('tokenizer_config.json', () => {
  const tokenizer = createTokenizer({ tokenizerJson: files[0] })
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom('chat_template', 'bos_token', 'eos_token'), (value, key) => {
      ours(() => {
        const tokenizerConfig = { [key]: value }
        createTokenizer({ tokenizerJson: files[0], tokenizerConfig })
        createChatTemplate({ tokenizerJson: files[0], tokenizerConfig }, tokenizer)?.render([])
      })
    }),
    { numRuns: 500 },
  )
})

it('GGUF metadata', () => {
  const texts = fc.array(fc.string())
  const value: fc.Arbitrary<GgufValue> = fc.oneof(
    fc.constantFrom('gpt2', 'llama', 'gpt-2', 'default', true, false),
    texts,
    fc.float(),
    fc.array(fc.float()).map((list) => Float32Array.from(list)),
    fc.array(fc.nat(7)).map((list) => Int32Array.from(list)),
  )
  const entry = (key: string, arbitrary: fc.Arbitrary<GgufValue>) => ({ [`tokenizer.ggml.${key}`]: arbitrary })
  const metadata = fc.record(
    {
      ...entry('model', fc.constantFrom('gpt2', 'llama')),
      ...entry('tokens', texts),
      ...entry('token_type', value),
      ...entry('scores', value),
      ...entry('merges', value),
      ...entry('pre', value),
      ...entry('bos_token_id', value),
      ...entry('add_bos_token', value),
    },
    { requiredKeys: ['tokenizer.ggml.model'] },
  )
  fc.assert(
    fc.property(metadata, fc.string(), (entries, text) => {
      ours(() => {
        const found = tokenizerFilesFromGguf(new Map(Object.entries(entries)) as Map<string, GgufValue>)
        createTokenizer({ tokenizerJson: found?.['tokenizer.json'] }).encode(text)
      })
    }),
    { numRuns: 2000 },
  )
})
