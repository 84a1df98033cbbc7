/** Python's draws, matches and literals, held against Python's own (scripts/fixtures/make-evaluation-fixtures.py). */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { literal } from './literal.ts'
import { PythonRandom } from './random.ts'
import { findAll, pythonRegex, substitute } from './regex.ts'
import { floatRepr, pythonRepr, wordCount } from './text.ts'

const python = JSON.parse(
  readFileSync(new URL('../../../../../../fixtures/evaluation/python.json', import.meta.url), 'utf8'),
) as {
  random: {
    seed: number
    shuffle: number[]
    random: number[]
    samples: { size: number; count: number; drawn: number[] }[]
    choices: number[]
  }[]
  findall: { pattern: string; text: string; found: (string | string[])[] }[]
  sub: { pattern: string; replacement: string; text: string; result: string }[]
  literals: { source: string; value: unknown }[]
  repr: { value: string; repr: string }[]
  floats: { value: number; repr: string }[]
  words: { text: string; count: number }[]
}

const range = (size: number) => Array.from({ length: size }, (_, i) => i)

describe('random.Random', () => {
  it.each(python.random)('draws what Python draws from seed $seed', ({ seed, shuffle, random, samples, choices }) => {
    const drawn = new PythonRandom(seed)
    const items = range(10)
    drawn.shuffle(items)
    expect(items).toEqual(shuffle)
    expect(random.map(() => drawn.random())).toEqual(random)
    for (const { size, count, drawn: expected } of samples) expect(drawn.sample(range(size), count)).toEqual(expected)
    expect(drawn.choices(range(1000), 5)).toEqual(choices)
  })

  it('refuses more examples than there are, and seeds that are no whole numbers', () => {
    expect(() => new PythonRandom(1).sample([1, 2], 3)).toThrow('3 examples are wanted, there are 2')
    expect(() => new PythonRandom(0.5)).toThrow('seed must be a whole number')
  })
})

describe('re', () => {
  it.each(python.findall)('findall($pattern, $text)', ({ pattern, text, found }) => {
    expect(findAll(pythonRegex(pattern), text)).toEqual(found)
  })

  it.each(python.sub)('sub($pattern, $replacement)', ({ pattern, replacement, text, result }) => {
    expect(substitute(pythonRegex(pattern), replacement, text)).toBe(result)
  })

  it.each([
    ['a++', 'the possessive repeat'],
    ['(?>a)', 'an atomic group'],
    ['(a)(?(1)b)', 'a condition'],
    ['a(?i:b)', 'flags in the middle'],
    ['[\\S]', '\\S in a set'],
  ])('refuses %s by name', (pattern, what) => {
    expect(() => pythonRegex(pattern)).toThrow(what)
  })

  it('says what is no pattern', () => {
    expect(() => pythonRegex('(a')).toThrow()
    expect(() => pythonRegex('[a')).toThrow('unterminated character set')
    expect(() => pythonRegex('\\q')).toThrow('bad escape \\q')
  })
})

describe('literals and printing', () => {
  it.each(python.literals)('reads $source', ({ source, value }) => {
    expect(literal(source)).toEqual(value)
  })

  it.each(['[1, ', 'name', "['a' b]", "'open", '[1] 2', 'f(1)', '__import__'])('refuses %s', (source) => {
    expect(() => literal(source)).toThrow()
  })

  it.each(python.repr)('prints $repr', ({ value, repr }) => {
    expect(pythonRepr(value)).toBe(repr)
  })

  it.each(python.floats)('prints $repr', ({ value, repr }) => {
    expect(floatRepr(value)).toBe(repr)
  })

  it.each(python.words)('counts $count words', ({ text, count }) => {
    expect(wordCount(text)).toBe(count)
  })
})
