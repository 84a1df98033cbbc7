/** Keyword by keyword: what a grammar accepts, against ajv on instances that were made for it; and what is refused, by name. */
import * as fc from 'fast-check'
import { beforeAll, expect, it } from 'vitest'
import { schemaGrammar } from './compile.ts'
import { TokenGrammar } from './constraint.ts'
import { judge } from './testing/judge.ts'
import { type Small, small } from './testing/small.ts'

let made: Small

beforeAll(async () => {
  made = await small(['{"a": [1, 2.5, true], "name": "text"}'])
})

const utf8 = new TextEncoder()

function accepts(grammar: TokenGrammar, text: string): boolean {
  const constraint = grammar.constraint()
  try {
    constraint.acceptBytes(utf8.encode(text))
  } catch {
    return false
  }
  return constraint.mayEnd
}

/** Schemas with values that say where their borders are. */
// biome-ignore-start lint/suspicious/noThenProperty: a keyword of JSON schema
const borders: [schema: unknown, ...values: unknown[]][] = [
  [{ type: 'number', minimum: -1e300, maximum: 3 }, 4, 3, -1e20, -2.5],
  [{ type: 'integer', minimum: -3, maximum: 12 }, -4, -3, 0, 12, 13, 1.5, 'x'],
  [{ type: 'integer', exclusiveMinimum: 0, multipleOf: 3 }, 0, 3, 4, 6, -3],
  [{ type: 'number', minimum: 0.5, exclusiveMaximum: 2 }, 0.4, 0.5, 0.75, 1.999, 2, 1, 0],
  [{ minimum: 5, exclusiveMinimum: true, type: 'number' }, 5, 5.1, 4],
  [{ type: ['string', 'null'], minLength: 2, maxLength: 3 }, 'a', 'ab', '\u{1f600}\u{1f600}', 'abcd', null, 1],
  [{ type: 'string', pattern: '^a+$', maxLength: 3 }, 'a', 'aaa', 'aaaa', '', 'ab'],
  [{ type: 'string', pattern: '^(ab)*$', minLength: 3, maxLength: 5 }, 'ab', 'abab', 'ababab', ''],
  [{ type: 'string', pattern: 'b' }, 'b', 'abc', 'a', 'a"b\\\n'],
  [{ enum: ['a', 1, null, { b: [1] }, [true]] }, 'a', 'b', 1, 2, null, { b: [1] }, { b: [2] }, [true], [false], []],
  [{ const: { a: 1, b: 2 } }, { a: 1, b: 2 }, { b: 2, a: 1 }, { a: 1 }],
  [
    { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'string' } }, required: ['a'] },
    {},
    { a: 1 },
    { b: 'x', a: 1, c: [] },
    { a: 'x' },
  ],
  [
    { type: 'object', properties: { a: {}, ab: {} }, additionalProperties: false, minProperties: 1 },
    {},
    { a: 1 },
    { ab: 1, a: 2 },
    { b: 1 },
  ],
  [{ type: 'object', additionalProperties: { type: 'integer' }, maxProperties: 1 }, {}, { x: 1 }, { x: 1, y: 2 }, { x: '1' }],
  [
    { type: 'object', patternProperties: { '^x': { type: 'integer' }, y$: { minimum: 3 } }, additionalProperties: false },
    { x: 1 },
    { xy: 2 },
    { xy: 4 },
    { y: 'z' },
    { z: 1 },
  ],
  [{ type: 'object', propertyNames: { pattern: '^[a-c]+$' } }, { abc: 1 }, { d: 1 }, {}],
  [{ type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 }, [], [1], [1, 2], [1, 2, 3], ['x']],
  [
    { type: 'array', prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false },
    [],
    [1],
    [1, 'x'],
    [1, 'x', 2],
    ['x'],
  ],
  [{ anyOf: [{ type: 'integer' }, { type: 'object', required: ['a'] }] }, 1, { a: 1 }, {}, 'x'],
  [{ oneOf: [{ type: 'integer' }, { type: 'string' }] }, 1, 'x', null],
  [{ not: { type: 'integer' } }, 1, 1.5, -0.25, 'x', null, [1]],
  [{ type: 'object', oneOf: [{ required: ['a'] }, { required: ['b'] }] }, { a: 1 }, { b: 1 }, { a: 1, b: 1 }, {}],
  [
    {
      oneOf: [
        { type: 'integer', minimum: 0 },
        { type: 'integer', maximum: 5 },
      ],
    },
    -1,
    3,
    6,
  ],
  [
    {
      allOf: [
        { type: 'object', properties: { a: { minimum: 1 } } },
        { properties: { a: { maximum: 3, type: 'integer' } }, required: ['a'] },
      ],
    },
    { a: 2 },
    { a: 4 },
    {},
    { a: 0 },
  ],
  [{ type: 'object', not: { required: ['a'] } }, {}, { a: 1 }, { b: 1 }],
  [{ type: 'string', not: { enum: ['a', 'b'] } }, 'a', 'b', 'c', 'ab'],
  [
    {
      type: 'object',
      properties: { kind: { enum: ['x', 'y'] } },
      required: ['kind'],
      if: { properties: { kind: { const: 'x' } } },
      then: { required: ['n'] },
      else: { required: ['m'] },
    },
    { kind: 'x', n: 1 },
    { kind: 'y', n: 1 },
    { kind: 'y', m: 1 },
    { kind: 'x', m: 1 },
  ],
  [{ type: 'object', dependencies: { a: ['b'] } }, { a: 1 }, { b: 1 }, { a: 1, b: 1 }, {}],
  [
    {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: { v: { type: 'integer' }, next: { $ref: '#/$defs/tree' } },
          required: ['v'],
          additionalProperties: false,
        },
      },
    },
    { v: 1 },
    { v: 1, next: { v: 2, next: { v: 3 } } },
    { v: 1, next: {} },
  ],
  [{ type: 'object', properties: { __proto__x: { const: 1 } } }, { __proto__x: 1 }, { __proto__x: 2 }],
]
// biome-ignore-end lint/suspicious/noThenProperty: a keyword of JSON schema

it.each(borders)('agrees with ajv on %j', (schema, ...values) => {
  const grammar = new TokenGrammar(schemaGrammar(schema), made.vocabulary)
  const validate = judge(schema)!
  for (const value of values) {
    const expected = validate(value)
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2)])
      expect(accepts(grammar, text), text).toBe(expected)
  }
  expect(new Set(values.map(validate)).size).toBe(2)
})

const names = fc.constantFrom('a', 'b', 'ab', 'c d', '"')
const anySchema = fc.letrec<{ schema: unknown }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<unknown>(
      { type: 'integer' },
      { type: 'null' },
      { type: 'boolean' },
      {},
      { type: 'string' },
      { const: 'a' },
      { enum: ['a', 1, false] },
    ),
    fc.record({
      type: fc.constant('integer'),
      minimum: fc.integer({ min: -20, max: 3 }),
      maximum: fc.integer({ min: 3, max: 30 }),
    }),
    fc.record({ type: fc.constant('string'), minLength: fc.nat(2), maxLength: fc.integer({ min: 2, max: 4 }) }),
    fc.record({ type: fc.constant('array'), items: tie('schema'), maxItems: fc.nat(3) }),
    fc.record(
      {
        type: fc.constant('object'),
        properties: fc.dictionary(names, tie('schema'), { maxKeys: 3 }),
        required: fc.uniqueArray(names, { maxLength: 2 }),
        additionalProperties: fc.oneof(fc.boolean(), tie('schema')),
      },
      { requiredKeys: ['type'] },
    ),
    fc.record({ anyOf: fc.array(tie('schema'), { minLength: 1, maxLength: 3 }) }),
    fc.record({ allOf: fc.array(tie('schema'), { minLength: 1, maxLength: 2 }) }),
  ),
})).schema
const anyValue = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constantFrom<unknown>('a', 'ab', '', 'abc"', 1, 0, -7, 25, 2.5, true, false, null),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(names, tie('value'), { maxKeys: 3 }),
  ),
})).value

it('agrees with ajv on generated schemas and values', () => {
  let valid = 0
  fc.assert(
    fc.property(anySchema, fc.array(anyValue, { minLength: 5, maxLength: 10 }), (schema, values) => {
      const validate = judge(schema)!
      let grammar: TokenGrammar
      try {
        grammar = new TokenGrammar(schemaGrammar(schema), made.vocabulary)
      } catch (error) {
        // Schemas that nothing satisfies are refused.
        expect(String(error)).toMatch(/no value of bounded size/)
        expect(values.some(validate)).toBe(false)
        return
      }
      for (const value of values) {
        const text = JSON.stringify(value)
        expect(accepts(grammar, text), text).toBe(validate(value))
        if (validate(value)) valid++
      }
      // The short way to an end leads to a valid value.
      const end = new TextDecoder().decode(grammar.constraint().ending())
      expect(validate(JSON.parse(end)), end).toBe(true)
    }),
    { numRuns: 300, seed: 1 },
  )
  expect(valid).toBeGreaterThan(100)
})

it.each([
  [{ type: 'array', uniqueItems: true }, '#/uniqueItems', 'unsupported'],
  [{ properties: { a: { contains: {} } } }, '#/properties/a/contains', 'unsupported'],
  [{ $ref: 'https://example.org/other.json' }, '#/$ref', 'unsupported'],
  [{ type: 'string', pattern: '(?=a)' }, '#/pattern', 'unsupported'],
  [{ type: 'string', pattern: '(' }, '#/pattern', 'usage'],
  [{ type: 'number', multipleOf: 0.01 }, '#/multipleOf', 'unsupported'],
  [{ type: 'text' }, '#/type', 'usage'],
  [{ $ref: '#' }, '#', 'usage'],
  [{ $ref: '#/$defs/none' }, '#/$ref', 'usage'],
  [{ type: 'string', minLength: -1 }, '#/minLength', 'usage'],
  [{ allOf: [{ type: 'string' }, { type: 'null' }] }, '#', 'unsupported'],
  [{ properties: { a: { $ref: '#' } }, required: ['a'], type: 'object' }, '#', 'unsupported'],
  [3, '#', 'usage'],
  [{ type: 'string', pattern: 5 }, '#/pattern', 'usage'],
  [{ oneOf: [true, true] }, '#', 'unsupported'],
])('refuses %j, naming %s', (schema, pointer, kind) => {
  expect(() => schemaGrammar(schema)).toThrow(expect.objectContaining({ kind, message: expect.stringContaining(pointer) }))
})
