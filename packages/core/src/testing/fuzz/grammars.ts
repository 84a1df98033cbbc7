/** The compiler of constrained output: JSON schemas and regular expressions from a request. */
import { utf8 } from '../../checkpoint/testing/bytes.ts'
import { regexGrammar, schemaGrammar, TokenGrammar, TokenVocabulary } from '../../generation/constrain/index.ts'
import { byteTokenizerFiles } from '../../tokenizer/byte-tokenizer.ts'
import { createTokenizer } from '../../tokenizer/tokenizer.ts'
import type { FuzzTarget } from './fuzz.ts'
import { holds, jsonOf, textOf } from './weights.ts'

const vocabulary = new TokenVocabulary(createTokenizer(byteTokenizerFiles(['<s>', '</s>'])))

/** The short way to an end is allowed byte by byte, and ends. */
function shortText(grammar: TokenGrammar): string {
  const constraint = grammar.constraint()
  const bytes = constraint.ending()
  for (const byte of bytes.subarray(0, 2000)) {
    holds(((constraint.allowed()[byte >> 5]! >>> (byte & 31)) & 1) === 1, 'masks allow what leads to the end')
    constraint.accept(byte)
  }
  holds(constraint.mayEnd || bytes.length > 2000, 'the short way ends')
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}

export const grammarTargets: readonly FuzzTarget[] = [
  {
    name: 'JSON schema',
    seeds: [
      jsonOf({
        type: 'object',
        properties: { a: { type: 'string', pattern: '^[a-c]+(x|y)?$', maxLength: 5 }, b: { $ref: '#/$defs/n' } },
        required: ['a'],
        additionalProperties: { type: ['integer', 'null'], minimum: -5, multipleOf: 5 },
        $defs: { n: { anyOf: [{ $ref: '#' }, { enum: ['x', 1, null, { k: [] }] }] } },
      }),
      jsonOf({
        oneOf: [
          { type: 'array', prefixItems: [{ format: 'date' }], items: false, minItems: 1 },
          { not: { type: 'object' }, maximum: 2.5 },
        ],
      }),
      jsonOf({
        allOf: [
          // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON schema
          { if: { required: ['a'] }, then: { properties: { b: { const: 1 } } } },
          { patternProperties: { '^x': {} }, maxProperties: 3 },
        ],
      }),
    ],
    parse: (bytes) => {
      let schema: unknown
      try {
        schema = JSON.parse(textOf(bytes))
      } catch {
        return
      }
      JSON.parse(shortText(new TokenGrammar(schemaGrammar(schema), vocabulary)))
    },
    kinds: ['usage', 'unsupported'],
    // Counts and bounds are small numbers that mean much; what they cost is bounded by the steps of compilation.
    growth: 300_000,
    weight: 0.2,
  },
  {
    name: 'regular expression of a request',
    seeds: ['^(a|b[0-9]{2,3})*$', '[^\\x00-\\u{10ffff}]|\\d+\\.?(?:x\\s)?', '(?<y>\\w{1,8}@)+[a-c-]$'].map(utf8),
    parse: (bytes) => {
      shortText(new TokenGrammar(regexGrammar(textOf(bytes)), vocabulary))
    },
    kinds: ['usage', 'unsupported'],
    growth: 1_000_000,
    weight: 0.2,
  },
]
