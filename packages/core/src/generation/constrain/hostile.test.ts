/** What a stranger may send to make the compiler run for ever or fill the memory: compiled soon, or refused by name. */
import { expect, it } from 'vitest'
import { isParscaleError } from '../../errors.ts'
import { regexGrammar, schemaGrammar } from './compile.ts'
import { TokenGrammar } from './constraint.ts'
import { limits, MaskBudget } from './limits.ts'
import { small } from './testing/small.ts'
import { toolGrammar } from './tool-calls.ts'

const nested = (depth: number, wrap: (inner: unknown) => unknown): unknown => {
  let schema: unknown = { type: 'integer' }
  for (let i = 0; i < depth; i++) schema = wrap(schema)
  return schema
}
const defs = (count: number, of: (next: string) => unknown) => ({
  $ref: '#/$defs/d0',
  $defs: Object.fromEntries(
    [...Array(count).keys()].map((i) => [`d${i}`, i + 1 < count ? of(`#/$defs/d${i + 1}`) : { type: 'null' }]),
  ),
})
const keys = (count: number) => Object.fromEntries([...Array(count).keys()].map((i) => [`key${i}`, { type: 'integer' }]))

const schemas: [string, unknown][] = [
  ['100,000 levels', nested(100_000, (inner) => ({ items: inner }))],
  ['100 levels', nested(100, (inner) => ({ type: 'array', items: inner }))],
  [
    '2^60 alternatives by references',
    defs(60, (next) => ({ anyOf: [{ $ref: next }, { allOf: [{ $ref: next }, { type: 'null' }] }] })),
  ],
  [
    '2^40 conjunctions',
    { allOf: [...Array(40).keys()].map((i) => ({ anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }] })) },
  ],
  ['references in a circle', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { allOf: [{ $ref: '#/$defs/a' }] } } }],
  ['100,000 texts', { enum: [...Array(100_000).keys()].map((i) => `text number ${i}`) }],
  [
    'a million characters of texts',
    {
      enum: [...Array(2000).keys()].map((i) =>
        String.fromCodePoint(...[...Array(400).keys()].map((j) => 0x4e00 + ((i * 7919 + j * 104729) % 20000))),
      ),
    },
  ],
  ['100,000 keys', { properties: keys(100_000) }],
  ['1,500 keys, all required', { type: 'object', properties: keys(1500), required: Object.keys(keys(1500)) }],
  ['maxLength: 1e9', { type: 'string', maxLength: 1e9 }],
  ['a pattern of 1e9 characters', { type: 'string', pattern: '^a*$', minLength: 1e9, maxLength: 1e9 }],
  ['minItems: 1e15', { type: 'array', minItems: 1e15 }],
  ['nested quantifiers', { type: 'string', pattern: '((a{1,100}){1,100}){1,100}' }],
  ['an exponential automaton', { type: 'string', pattern: '^(a|b)*a(a|b){40}$' }],
  ['10,000 groups in groups', { type: 'string', pattern: '('.repeat(10_000) + ')'.repeat(10_000) }],
  [
    'patterns of one key',
    { patternProperties: Object.fromEntries([...Array(25).keys()].map((i) => [`^.{${i}}a.*b`, { minimum: i }])) },
  ],
  ['multipleOf of coprime numbers', { allOf: [997, 991, 983].map((multipleOf) => ({ type: 'integer', multipleOf })) }],
  ['the smallest and largest numbers', { type: 'number', minimum: 5e-324, exclusiveMaximum: 1.7e308 }],
  ['overlapping oneOf', { oneOf: [...Array(60).keys()].map((i) => ({ type: 'object', properties: { a: { minimum: i } } })) }],
  ['not of not of not', nested(100, (inner) => ({ not: inner }))],
  [
    'keys of the prototype',
    JSON.parse('{"type":"object","properties":{"__proto__":{"const":1},"constructor":{"type":"null"}},"required":["__proto__"]}'),
  ],
  [
    'ranges of all characters',
    { type: 'string', pattern: `^(${[...Array(500).keys()].map((i) => `[^\\u{${(i * 97 + 200).toString(16)}}]`).join('|')})+$` },
  ],
]

it.each([
  ['a required key', { type: 'object', required: ['\ud800'] }],
  ['a property', { properties: { 'a\udfff': { type: 'null' } } }],
  ['a text', { enum: ['a', '\ude00\ud83d'] }],
])('half of a surrogate pair in %s is refused by name', (_, schema) => {
  expect(() => schemaGrammar(schema)).toThrow('half of a surrogate pair')
})

it.each([
  ['a pattern', { type: 'string', pattern: '^a\\ud800$' }],
  ['a list that must be longer than it may', { type: 'array', minItems: 3, maxItems: 2 }],
])('%s that nothing satisfies is refused, and left out beside others', (_, schema) => {
  expect(() => schemaGrammar(schema)).toThrow('no value of bounded size')
  const { values } = schemaGrammar({ anyOf: [schema, { const: 1 }] })
  expect(values.shortest[values.root]).toBe(1)
})

it('half of a surrogate pair matches no text', async () => {
  expect(() => regexGrammar('\\ud800')).toThrow('no text matches')
  expect(() => regexGrammar('[\\ud800-\\udfff]+')).toThrow('no text matches')
  const { vocabulary } = await small([])
  const constraint = new TokenGrammar(regexGrammar('(a|\\ud800)[^x\\ud801]'), vocabulary).constraint()
  constraint.acceptBytes(Uint8Array.of(0x61, 0x62))
  expect(constraint.mayEnd).toBe(true)
})

it('a whole pair is a character', async () => {
  const { vocabulary } = await small([])
  expect(new TokenGrammar(schemaGrammar({ const: '\ud83d\ude00' }), vocabulary).constraint().ending()).toHaveLength(6)
})

it.each(schemas)('%s', (_, schema) => {
  const before = process.memoryUsage().heapUsed
  try {
    schemaGrammar(schema)
  } catch (error) {
    if (!isParscaleError(error)) throw error
    expect(['unsupported', 'usage']).toContain(error.kind)
  }
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(500 * 2 ** 20)
})

it('the schemas of many tools share one bound', () => {
  const parameters = { type: 'object', properties: keys(100) }
  const tools = [...Array(400).keys()].map((i) => ({ name: `tool${i}`, parameters: { ...parameters, minProperties: i % 2 } }))
  expect(() => toolGrammar({ tools, form: 'hermes', choice: 'required', ordered: true })).toThrow(/6000000 steps/)
})

it('a caller whose thread serves others may ask for less work', () => {
  const work = 100_000
  expect(() => schemaGrammar({ type: 'object', properties: keys(1500) }, { work })).toThrow(/100000 steps/)
  expect(() => regexGrammar('[^a]{1000}', { work })).toThrow(/100000 steps/)
  expect(() => schemaGrammar({ enum: [...Array(10_000).keys()].map((i) => `text ${i}`) }, { work })).toThrow(/100000 steps/)
})

it('a mask that takes long is worked out in pieces, and refused where it would take for ever', async () => {
  const { vocabulary } = await small(['aaaa'])
  const patterns = (count: number) => [...Array(count).keys()].map((i) => ({ type: 'string', pattern: `x${i}` }))
  const constraint = new TokenGrammar(schemaGrammar({ anyOf: patterns(100) }), vocabulary).constraint()
  constraint.acceptBytes(Uint8Array.of(0x22))
  const other = constraint.fork()
  const preparing = constraint.prepare()
  expect(preparing).toBeInstanceOf(Promise)
  await preparing
  expect(constraint.prepare()).toBeUndefined()
  expect(constraint.allowed()).toEqual(other.allowed())
  expect(() => new MaskBudget().count(limits.maskWork + 1)).toThrow('can be read in too many ways')
})

it('a pattern that JavaScript would backtrack in for ever takes its text at once', async () => {
  const { vocabulary } = await small(['aaaa'])
  const constraint = new TokenGrammar(regexGrammar('(a+)+b'), vocabulary).constraint()
  constraint.acceptBytes(new Uint8Array(10_000).fill(0x61))
  expect(constraint.mayEnd).toBe(false)
})

it('a text that never ends keeps what is remembered of it bounded', async () => {
  const { vocabulary, tokenizer } = await small(['[[[['])
  const grammar = new TokenGrammar(
    schemaGrammar({ $ref: '#/$defs/l', $defs: { l: { type: 'array', items: { $ref: '#/$defs/l' } } } }),
    vocabulary,
  )
  const constraint = grammar.constraint()
  const [open] = tokenizer.encode('[')
  for (let i = 0; i < 60_000; i++) constraint.accept(open!)
  const mask = constraint.allowed()
  expect((mask[open! >> 5]! >>> (open! & 31)) & 1).toBe(1)
  expect(grammar.stacks.kept).toBeLessThanOrEqual(50_000)
})
