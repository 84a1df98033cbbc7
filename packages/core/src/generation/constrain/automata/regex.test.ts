/** Regular expressions against JavaScript's own, on texts made of the characters that they name. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { Budget, finished } from '../limits.ts'
import { spell, step } from './byte-automaton.ts'
import { labelOf } from './character-automaton.ts'
import { compileRegex } from './compile-regex.ts'
import { parseRegex } from './parse-regex.ts'

const atom = fc.constantFrom(
  'a',
  'b',
  '.',
  '[ab]',
  '[^a]',
  '\\d',
  '\\w',
  '\\S',
  '[a-c-]',
  '\u{1f600}',
  '[\u00e0-\u{1f64f}]',
  '\\.',
  '\\u0061',
  '\\x62',
  '"',
  '\\n',
  '1',
)
const anyPattern = fc.letrec<{ pattern: string }>((tie) => ({
  pattern: fc.oneof(
    { maxDepth: 4 },
    atom,
    fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => a + b),
    fc.tuple(tie('pattern'), tie('pattern')).map(([a, b]) => `(?:${a}|${b})`),
    fc.tuple(tie('pattern'), fc.constantFrom('*', '+', '?', '{2}', '{1,2}', '{2,}', '*?')).map(([a, b]) => `(${a})${b}`),
    tie('pattern').map((each) => `^${each}`),
    tie('pattern').map((each) => `${each}$`),
  ),
})).pattern
const anyText = fc
  .array(fc.constantFrom('a', 'b', 'c', '1', '\u{1f600}', '\u00e9', '"', '\n', '.', '-', ' '), { maxLength: 7 })
  .map((each) => each.join(''))

it('finds what RegExp finds', () => {
  let found = 0
  fc.assert(
    fc.property(anyPattern, fc.array(anyText, { minLength: 6, maxLength: 6 }), (pattern, texts) => {
      const automaton = finished(compileRegex(parseRegex(pattern, 'test'), 'test', new Budget(), { anywhere: true }))
      const expected = new RegExp(pattern, 'u')
      const inJson = finished(spell(automaton, 'test', new Budget(), { json: true }))
      for (const text of texts) {
        const matches = expected.test(text)
        if (matches) found++
        expect(labelOf(automaton, text) >= 0, text).toBe(matches)
        // The same, as JSON writes it, up to the closing quote.
        let state = 0
        for (const byte of new TextEncoder().encode(JSON.stringify(text).slice(1)))
          if (state >= 0) state = step(inJson, state, byte)
        expect(state >= 0 && inJson.labels[state]! >= 0, text).toBe(matches)
      }
    }),
    { numRuns: 500, seed: 1 },
  )
  expect(found).toBeGreaterThan(300)
})

it.each([
  ['(?=a)', '(?='],
  ['(?<!a)b', '(?<!'],
  ['\\bword', '\\b'],
  ['(a)\\1', 'a backreference'],
  ['\\p{L}', '\\p'],
])('refuses %s by name', (pattern, name) => {
  expect(() => parseRegex(pattern, 'test')).toThrow(
    expect.objectContaining({ kind: 'unsupported', message: expect.stringContaining(name) }),
  )
})

it.each(['(', ')', 'a**', '[b-a]', '[a', '\\', 'a{2,1}', '*'])('names the fault of %s', (pattern) => {
  expect(() => parseRegex(pattern, 'test')).toThrow(expect.objectContaining({ kind: 'usage' }))
})
