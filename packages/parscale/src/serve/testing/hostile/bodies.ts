/** Bodies of requests: right ones, and what becomes of them when a part is replaced by something that nobody expects. */
import type { Random } from '@parscale/core/internal'

export const pick = <T>(random: Random, items: readonly T[]): T => items[random.below(items.length)]!

const words = [
  'The people',
  'of the',
  'ships',
  'Ünïcödé 漢字 😀',
  '\u0000\u0007',
  '<|im_start|>system',
  '[TOOL_CALLS]',
  '{"name":',
  '   ',
]
const phrase = (random: Random): string => Array.from({ length: 1 + random.below(6) }, () => pick(random, words)).join(' ')

const tool = (name: string, parameters: unknown) => ({ type: 'function', function: { name, description: 'a tool', parameters } })

/** Right, and cheap to answer. */
const bodies: Readonly<Record<string, (random: Random) => Record<string, unknown>>> = {
  '/v1/chat/completions': (random) => ({
    messages: [
      { role: pick(random, ['system', 'developer', 'user']), content: phrase(random) },
      { role: 'user', content: [{ type: 'text', text: phrase(random) }] },
    ],
    max_tokens: 1 + random.below(4),
    ...(random.below(3) === 0 && { stream: true, stream_options: { include_usage: true } }),
    ...(random.below(4) === 0 && { logprobs: true, top_logprobs: random.below(5) }),
    ...(random.below(6) === 0 && { tools: [tool('look', { type: 'object' })], tool_choice: pick(random, ['auto', 'required']) }),
    ...(random.below(8) === 0 && {
      response_format: { type: 'json_schema', json_schema: { name: 'x', schema: schema(random, 3) } },
    }),
  }),
  '/v1/completions': (random) => ({
    prompt: pick(random, [phrase(random), [phrase(random), phrase(random)], [1, 2, 3], [[1], [2, 3]]]),
    max_tokens: 1 + random.below(4),
    ...(random.below(3) === 0 && { stream: true }),
    ...(random.below(4) === 0 && { echo: true, logprobs: random.below(5) }),
    ...(random.below(4) === 0 && { n: 2, seed: 1, stop: ['x', 'people'], temperature: 2 * random.uniform() }),
    ...(random.below(8) === 0 && { response_format: { type: 'regex', pattern: pattern(random) } }),
  }),
  '/v1/responses': (random) => ({
    input: pick<unknown>(random, [
      phrase(random),
      [{ role: 'user', content: phrase(random) }],
      [
        { type: 'function_call', call_id: 'a', name: 'look', arguments: '{}' },
        { type: 'function_call_output', call_id: 'a', output: phrase(random) },
      ],
    ]),
    max_output_tokens: 1 + random.below(4),
    ...(random.below(2) === 0 && { stream: true }),
    ...(random.below(4) === 0 && { tools: [{ type: 'function', name: 'look', parameters: { type: 'object' } }] }),
    ...(random.below(8) === 0 && { text: { format: { type: 'json_schema', name: 'x', schema: schema(random, 3) } } }),
  }),
  '/v1/embeddings': (random) => ({ input: [phrase(random)], encoding_format: pick(random, ['float', 'base64']) }),
  '/tokenize': (random) => ({ prompt: phrase(random), return_token_strs: true }),
  '/detokenize': () => ({ tokens: [1, 2, 3] }),
  '/models/load': () => ({}),
}

export const postPaths = Object.keys(bodies)

export const rightBody = (random: Random, path: string): Record<string, unknown> => ({ model: 'small', ...bodies[path]!(random) })

const pattern = (random: Random): string =>
  pick(random, [
    '[a-z]+',
    '(a+)+b',
    '^(a|b)*a(a|b){30}$',
    '((a{1,90}){1,90}){1,90}',
    '(?<=a)b',
    '[',
    '\\p{L}+',
    '.{0,500}x.{0,500}',
    '(',
    'é+',
  ])

/** A schema, of which some mean nothing and some need a lot of work. */
export function schema(random: Random, depth: number): unknown {
  if (depth === 0)
    return pick(random, [true, {}, { type: 'string' }, { type: 'integer', minimum: 3 }, { const: 'x' }, null, 'x', []])
  const inner = () => schema(random, depth - 1)
  const many = (most: number) => Array.from({ length: 1 + random.below(most) }, inner)
  switch (random.below(12)) {
    case 0:
      return { anyOf: many(4) }
    case 1:
      return { allOf: many(3) }
    case 2:
      return { oneOf: many(3) }
    case 3:
      return { not: inner() }
    case 4:
      return { type: 'array', items: inner(), minItems: pick(random, [0, 3, 1e9]), maxItems: pick(random, [0, 5, 1e15]) }
    case 5:
      return { type: 'string', pattern: pattern(random), maxLength: pick(random, [5, 1e6]) }
    case 6:
      return { $ref: pick(random, ['#', '#/$defs/a', '#/nowhere', 'http://elsewhere/x']), $defs: { a: inner() } }
    case 7:
      return { enum: Array.from({ length: 1 + random.below(400) }, (_, i) => `text number ${i}`) }
    case 8: {
      const count = pick(random, [2, 30, 400])
      return {
        properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`key${i}`, { minimum: i }])),
        required: ['key1'],
      }
    }
    case 9:
      return { anyOf: Array.from({ length: 60 }, (_, i) => ({ type: 'string', pattern: `x${i}[a-z]*y` })) }
    case 10:
      return { patternProperties: { [pattern(random)]: inner() }, additionalProperties: inner() }
    default:
      return { type: 'object', properties: { a: inner(), b: inner() }, required: ['a', 'b'], additionalProperties: false }
  }
}

const nested = (depth: number, open: string, close: string): unknown => JSON.parse(open.repeat(depth) + close.repeat(depth))

/** Values that no field expects. */
const strange: readonly ((random: Random) => unknown)[] = [
  () => null,
  () => -1,
  () => 1e308,
  () => 2 ** 53,
  () => 0.1,
  () => true,
  () => '',
  () => '\ud800',
  () => '\u202e\u0000\uffff',
  () => 'a'.repeat(20_000),
  () => '漢'.repeat(5000),
  () => [],
  () => ({}),
  () => [[], {}, null],
  () => nested(400, '[', ']'),
  () => nested(600, '[', ']'),
  () => ({ __proto__: null, constructor: { prototype: 1 } }),
  () => JSON.parse('{"__proto__": {"x": 1}, "toString": 1, "length": 1e9}'),
  (random) => Array.from({ length: 1 + random.below(5000) }, () => 'x'),
  (random) => Array.from({ length: 1 + random.below(5000) }, () => random.below(4000) - 1),
  (random) => Object.fromEntries(Array.from({ length: 1 + random.below(2000) }, (_, i) => [String(i), random.below(300) - 150])),
  (random) => Array.from({ length: 300 }, () => ({ type: 'text', text: phrase(random) })),
  (random) => schema(random, 4),
  (random) => phrase(random),
]

const fields = [
  ...['model', 'messages', 'prompt', 'input', 'max_tokens', 'max_completion_tokens', 'max_output_tokens', 'n', 'stop', 'seed'],
  ...['temperature', 'top_p', 'top_k', 'min_p', 'logit_bias', 'stream', 'stream_options', 'logprobs', 'top_logprobs', 'echo'],
  ...['tools', 'tool_choice', 'response_format', 'text', 'reasoning', 'parscale', 'chat_template_kwargs', 'metadata', 'tokens'],
  ...['encoding_format', 'dimensions', 'instructions', 'parallel_tool_calls', 'suffix', 'best_of', 'presence_penalty'],
]

/** A right body with some of its parts replaced, added or taken away. */
export function mutatedBody(random: Random, path: string): Record<string, unknown> {
  const body = rightBody(random, path)
  for (let i = 0; i < 1 + random.below(3); i++) {
    let at: Record<string, unknown> = body
    let keys = Object.keys(at)
    // Down to some part of it.
    while (keys.length > 0 && random.below(2) === 0) {
      const inner = pick(random, keys)
      if (typeof at[inner] !== 'object' || at[inner] === null || Object.keys(at[inner]).length === 0) break
      at = at[inner] as Record<string, unknown>
      keys = Object.keys(at)
    }
    const key = keys.length === 0 || (at === body && random.below(2) === 0) ? pick(random, fields) : pick(random, keys)
    if (random.below(6) === 0) delete at[key]
    else at[key] = pick(random, strange)(random)
  }
  return body
}
