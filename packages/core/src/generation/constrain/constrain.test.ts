/** Texts beside schemas: regular expressions, choices, JSON objects, tool calls; tokens that are no text; ends. */
import { beforeAll, expect, it } from 'vitest'
import { byteTokenizerFiles } from '../../tokenizer/byte-tokenizer.ts'
import { createTokenizer } from '../../tokenizer/tokenizer.ts'
import { choiceGrammar, jsonObjectGrammar, regexGrammar, schemaGrammar } from './compile.ts'
import { type Grammar, TokenGrammar } from './constraint.ts'
import { TokenVocabulary } from './machine/vocabulary.ts'
import { type Small, small } from './testing/small.ts'
import { type Tool, toolGrammar } from './tool-calls.ts'

let made: Small

beforeAll(async () => {
  made = await small(
    ['<tool_call>{"name": "weather", "arguments": {"city": "Paris", "days": 3}}</tool_call> The weather is fine.'],
    ['<|end|>', '[TOOL_CALLS]'],
  )
})

const allowed = (mask: Uint32Array, id: number): boolean => ((mask[id >> 5]! >>> (id & 31)) & 1) === 1

/** Reads a text by tokens, each of which the mask must allow; special tokens count where they are spelled. */
function reads(grammar: Grammar, text: string, { tokenizer, vocabulary }: Small = made): boolean {
  const constraint = new TokenGrammar(grammar, vocabulary).constraint()
  for (const id of tokenizer.encode(text, { addSpecial: false, allowSpecial: true })) {
    const isAllowed = allowed(constraint.allowed(), id)
    if (!isAllowed) {
      expect(() => constraint.accept(id)).toThrow('not allowed')
      return false
    }
    constraint.accept(id)
  }
  expect(allowed(constraint.allowed(), tokenizer.eosTokenIds[0]!)).toBe(constraint.mayEnd)
  return constraint.mayEnd
}

it('follows a regular expression to its end', () => {
  const grammar = regexGrammar('(?:yes|no|maybe [0-9]{1,2}) ?')
  for (const text of ['yes', 'no ', 'maybe 12']) expect(reads(grammar, text), text).toBe(true)
  for (const text of ['', 'ye', 'yes!', 'maybe', 'maybe 123', ' yes']) expect(reads(grammar, text), text).toBe(false)
})

it('offers choices', () => {
  const grammar = choiceGrammar(['one', 'on', 'zwölf'])
  for (const text of ['one', 'on', 'zwölf']) expect(reads(grammar, text), text).toBe(true)
  for (const text of ['o', 'ones', 'zw', 'two']) expect(reads(grammar, text), text).toBe(false)
  expect(() => choiceGrammar([])).toThrow('nothing to choose')
})

it('has a bound for the blanks of each gap', () => {
  const gap = (blanks: string) => reads(jsonObjectGrammar(), `{${blanks}"a":${blanks}1${blanks}}`)
  for (const blanks of ['', ' ', '\n', `\n${' '.repeat(32)}`]) expect(gap(blanks)).toBe(true)
  for (const blanks of ['  ', '\n\n', `\n${' '.repeat(33)}`, ' \n']) expect(gap(blanks)).toBe(false)
})

it('reads any JSON object, and blanks that end', () => {
  const grammar = jsonObjectGrammar()
  for (const text of [
    '{}',
    '{"a": [1, -2.5e-3, {"b": null}], "c\\u00e9\\ud83d\\ude00": "\\n\\/"}',
    '{\n  "a": {\n    "b": []\n  }\n}',
  ])
    expect(reads(grammar, text), text).toBe(true)
  for (const text of ['[]', '1', '{"a": 01}', '{"a": "\\ud83d"}', '{"a": 1e999}', `{${' '.repeat(70)}}`, '{"a": "\n"}', '{}}'])
    expect(reads(grammar, text), text).toBe(false)
})

it('keeps the order of the schema where it is asked to', () => {
  const schema = { type: 'object', properties: { a: {}, b: {}, c: {} }, required: ['b'], additionalProperties: false }
  const grammar = schemaGrammar(schema, { ordered: true })
  for (const text of ['{"b":1}', '{"a":1,"b":2,"c":3}', '{"b":1,"c":2}']) expect(reads(grammar, text), text).toBe(true)
  for (const text of ['{"b":1,"a":2}', '{"a":1,"c":2,"b":3}', '{"a":1}']) expect(reads(grammar, text), text).toBe(false)
  expect(reads(schemaGrammar(schema), '{"c":1,"b":2,"a":3}')).toBe(true)
})

it('knows when nothing but the end may come, and allows no token after it', () => {
  const { vocabulary, tokenizer } = made
  const constraint = new TokenGrammar(choiceGrammar(['a']), vocabulary).constraint()
  const [end] = tokenizer.eosTokenIds
  expect(constraint.done).toBe(false)
  expect(allowed(constraint.allowed(), end!)).toBe(false)
  expect(() => constraint.accept(end!)).toThrow('not allowed')
  constraint.accept(tokenizer.encode('a')[0]!)
  expect(constraint.done).toBe(true)
  const mask = constraint.allowed()
  expect([...Array(vocabulary.size).keys()].filter((id) => allowed(mask, id))).toEqual([end])
  constraint.accept(end!)
  expect(constraint.done).toBe(true)
  expect(() => constraint.accept(end!)).toThrow('has ended')
})

it.each([
  [{ type: 'string', pattern: '^(abc)*$', maxLength: 7 }, '"abcabc', 'a'],
  [{ type: 'string', pattern: '^(ad|bbb)$', minLength: 3 }, '"', 'a'],
  [{ type: 'string', pattern: '^(ab)*$', minLength: 3, maxLength: 5 }, '"abab', 'a'],
  [{ type: 'object', properties: { a: {}, b: {} }, required: ['a', 'b'], maxProperties: 2 }, '{"', 'c'],
  [{ type: 'object', properties: { a: {} }, additionalProperties: false }, '{"a":1', ','],
  [{ type: 'array', items: { enum: [] }, maxItems: 3 }, '[', '1'],
])('goes no way that has no end: %j', (schema, before, next) => {
  const constraint = new TokenGrammar(schemaGrammar(schema), made.vocabulary).constraint()
  constraint.acceptBytes(new TextEncoder().encode(before))
  const [id] = made.tokenizer.encode(next)
  expect(allowed(constraint.allowed(), id!)).toBe(false)
  expect(() => constraint.accept(id!)).toThrow('not allowed')
  constraint.acceptBytes(constraint.ending())
  expect(constraint.mayEnd).toBe(true)
})

it('fails by name where the vocabulary cannot spell the text', () => {
  const files = byteTokenizerFiles(['<s>', '</s>'])
  const tokenizer = createTokenizer(files)
  const poor = new TokenVocabulary({ ...tokenizer, tokenBytes: (id) => (id === 0x7b ? undefined : tokenizer.tokenBytes(id)) })
  const constraint = new TokenGrammar(jsonObjectGrammar(), poor).constraint()
  constraint.accept(0x20)
  expect(() => constraint.allowed()).toThrow(
    expect.objectContaining({ kind: 'unsupported', message: expect.stringContaining('no token') }),
  )
})

it('never allows added tokens inside constrained text', () => {
  const { vocabulary, tokenizer } = made
  const constraint = new TokenGrammar(schemaGrammar({ type: 'string' }), vocabulary).constraint()
  constraint.acceptBytes(new TextEncoder().encode('"a'))
  const mask = constraint.allowed()
  for (const { id } of tokenizer.addedTokens) expect(allowed(mask, id)).toBe(false)
})

const tools: Tool[] = [
  {
    name: 'weather',
    parameters: {
      type: 'object',
      properties: { city: { type: 'string' }, days: { type: 'integer' } },
      required: ['city'],
      additionalProperties: false,
    },
  },
  { name: 'now' },
]
const given = '{"city": "Paris", "days": 3}'
const weather = (inner: string): string => `{"name": "weather", "${inner}": {"city": "Paris", "days": 3}}`

it.each([
  [
    'hermes',
    'auto',
    [
      '',
      'Fine.',
      `<tool_call>\n${weather('arguments')}\n</tool_call>`,
      `Let me see. <tool_call>${weather('arguments')}</tool_call>\n<tool_call>{"name":"now","arguments":{}}</tool_call>`,
    ],
    [
      '<tool_call>{"name": "other", "arguments": {}}</tool_call>',
      '<tool_call>',
      `<tool_call>${weather('parameters')}</tool_call>`,
      '<tool_call>{"name": "weather", "arguments": {}}</tool_call>',
    ],
  ],
  [
    'hermes',
    'required',
    [`<tool_call>\n${weather('arguments')}\n</tool_call>`],
    ['', 'Fine.', `Well <tool_call>${weather('arguments')}</tool_call>`],
  ],
  [
    'hermes',
    { name: 'now' },
    ['<tool_call>{"name": "now", "arguments": {"a": 1}}</tool_call>'],
    [`<tool_call>${weather('arguments')}</tool_call>`],
  ],
  [
    'llama',
    'auto',
    ['Fine.', weather('parameters'), `<|python_tag|>${weather('parameters')}; {"name": "now", "parameters": {}}`],
    ['{"a": 1}', weather('arguments'), '{'],
  ],
  ['llama', 'required', [weather('parameters')], ['Fine.']],
  [
    'mistral',
    'auto',
    [
      'Fine.',
      `[TOOL_CALLS][${weather('arguments')}]`,
      `Hm [TOOL_CALLS] [${weather('arguments')}, {"name": "now", "arguments": {}}]`,
    ],
    [`[TOOL_CALLS]${weather('arguments')}`, '[TOOL_CALLS][]'],
  ],
  [
    'mistral-args',
    'auto',
    [
      'Fine.',
      `Hm [TOOL_CALLS]weather[ARGS]${given}`,
      `[TOOL_CALLS]now[CALL_ID]a1B2c3D4e[ARGS]{}[TOOL_CALLS]weather[ARGS]${given}`,
    ],
    ['[TOOL_CALLS]weather[ARGS]{}', `[TOOL_CALLS]other[ARGS]${given}`, '[TOOL_CALLS]now[CALL_ID]a1[ARGS]{}', '[TOOL_CALLS][]'],
  ],
  ['mistral-args', 'required', [`[TOOL_CALLS]weather[ARGS]${given}`], ['Fine.', `weather[ARGS]${given}`]],
  ['mistral-args', { name: 'now' }, ['[TOOL_CALLS]now[ARGS]{"a": 1}'], ['[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]now[ARGS]{}']],
  ['mistral', 'required', [`[TOOL_CALLS][${weather('arguments')}]`], [`[${weather('arguments')}]`]],
] as const)('reads calls of tools: %s, %j', (form, choice, good, bad) => {
  const grammar = toolGrammar({ tools, form, choice })
  for (const text of good) expect(reads(grammar, text), text).toBe(true)
  for (const text of bad) expect(reads(grammar, text), text).toBe(false)
})

it.each([
  ['hermes', `<tool_call>${weather('arguments')}</tool_call>`],
  ['llama', weather('parameters')],
  ['mistral', `[TOOL_CALLS][${weather('arguments')}]`],
  ['mistral-args', `[TOOL_CALLS]weather[ARGS]${given}`],
] as const)('reads an answer that is asked for, or calls: %s', (form, call) => {
  const schema = { type: 'object', properties: { sun: { type: 'boolean' } }, required: ['sun'], additionalProperties: false }
  const [good, bad] = ['{"sun": true}', ['', 'Fine.', '{"sun": 1}', `Fine. ${call}`, `{"sun": true}${call}`, '{"city": "Paris"}']]
  for (const answer of [{ schema }, { pattern: '[{]"sun": (true|false)[}]' }]) {
    const grammar = toolGrammar({ tools, form, choice: 'auto', answer })
    for (const text of [good, call]) expect(reads(grammar, text), text).toBe(true)
    for (const text of bad) expect(reads(grammar, text), text).toBe(false)
    expect(reads(toolGrammar({ tools, form, choice: 'required', answer }), good)).toBe(false)
  }
  expect(() => toolGrammar({ tools, form, choice: 'auto', answer: { schema: { uniqueItems: true } } })).toThrow(
    'answer: #/uniqueItems',
  )
})

it('reads one call where calls do not run side by side', () => {
  const calls = `<tool_call>${weather('arguments')}</tool_call>`
  const grammar = toolGrammar({ tools, form: 'hermes', choice: 'auto', parallel: false })
  expect(reads(grammar, calls)).toBe(true)
  expect(reads(grammar, calls + calls)).toBe(false)
})

it('names the tool that is not there, and the keyword of one that is not supported', () => {
  expect(() => toolGrammar({ tools, form: 'hermes', choice: { name: 'none' } })).toThrow('there is no tool "none"')
  const unique = [{ name: 'x', parameters: { type: 'array', uniqueItems: true } }]
  expect(() => toolGrammar({ tools: unique, form: 'llama', choice: 'auto' })).toThrow('tool "x": #/uniqueItems')
})
