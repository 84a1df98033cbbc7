/** Random conversations, tools and documents, with what real ones have and more: other scripts, empty and missing fields. */
import type { SmallRandom as Random } from '../../../testing/small-random.ts'

const words = [
  ...[
    'Hello',
    'world',
    'it is',
    'the answer',
    '42',
    '3.50',
    'a\nb',
    '  spaced  ',
    '\n',
    '\t',
    '',
    "it's",
    '"quoted"',
    'back\\slash',
    '{{ x }}',
  ],
  ...[
    '👍',
    '👩‍👩‍👧',
    'é',
    'e\u0301',
    'שלום',
    'مرحبا',
    '日本語',
    'ß',
    'İ',
    'ΑΣ',
    'ﬁ',
    '\u2028',
    '\u00a0',
    '\ufeff',
    '\u200b',
    '\x00',
    '\x85',
    '𝒳',
  ],
  ...[
    '<think>',
    '</think>',
    '<|im_end|>',
    '[INST]',
    '</s>',
    '<tool_call>',
    '<r>',
    '</r>',
    '%s',
    '{}',
    '&<>',
    'User:',
    '###',
    '```py\nx = 1\n```',
  ],
  ...['<think>\nso\n</think>\n\nyes', '<tool_response>ok</tool_response>', '{"a": 1}', '[1, 2]', 'true', 'None', 'null'],
]

export const randomText = (random: Random): string =>
  random.list(4, () => random.pick(words)).join(random.pick(['', ' ', ' ', '\n']))

export function randomJson(random: Random, depth = 0): unknown {
  const kind = random.below(depth > 2 ? 6 : 9)
  if (kind <= 1) return randomText(random)
  if (kind === 2) return random.pick([0, 1, -1, 7, 42, 1000000, 2 ** 53 - 1, -17])
  if (kind === 3) return random.pick([0.5, -0.1, 1e-7, 1.5e300, 3.14, 123456.789, 1e-5, 1e22])
  if (kind === 4) return random.chance(0.5)
  if (kind === 5) return null
  if (kind === 6) return random.list(3, () => randomJson(random, depth + 1))
  return Object.fromEntries(random.list(4, () => [randomKey(random), randomJson(random, depth + 1)]))
}

const keys = [
  'name',
  'type',
  'text',
  'value',
  'a',
  'b',
  'items',
  'keys',
  'city',
  'Größe',
  '__class__',
  '_x',
  'update',
  'role',
  'id',
  '0',
]
const randomKey = (random: Random): string => random.pick(keys)

function toolCall(random: Random): unknown {
  const call = {
    name: random.pick(['get_weather', 'search', 'f']),
    arguments: random.chance(0.3) ? JSON.stringify(randomObject(random)) : randomObject(random),
  }
  const id = random.pick(['call_1', 'abcdefghi', '123456789'])
  return random.chance(0.8) ? { id, type: 'function', function: call } : { ...call, id }
}

const randomObject = (random: Random): Record<string, unknown> =>
  Object.fromEntries(random.list(3, () => [random.pick(['city', 'unit', 'n', 'deep', 'größe']), randomJson(random, 1)]))

function content(random: Random): unknown {
  const kind = random.below(12)
  if (kind === 0) return null
  if (kind === 1)
    return random.list(3, () => (random.chance(0.7) ? { type: 'text', text: randomText(random) } : { type: 'image' }))
  if (kind === 2) return randomJson(random)
  return randomText(random)
}

function message(random: Random, role: string): Record<string, unknown> {
  const made: Record<string, unknown> = { role }
  if (!random.chance(0.04)) made.content = random.chance(0.6) ? randomText(random) : content(random)
  if (role === 'assistant' && random.chance(0.25)) made.tool_calls = random.list(2, () => toolCall(random))
  if (role === 'assistant' && random.chance(0.2))
    made[random.pick(['reasoning_content', 'thinking', 'reasoning'])] = random.chance(0.9) ? randomText(random) : null
  if (role === 'tool') {
    if (random.chance(0.6)) made.name = random.pick(['get_weather', 'search'])
    if (random.chance(0.6)) made.tool_call_id = random.pick(['call_1', 'abcdefghi'])
  }
  if (random.chance(0.05)) made[randomKey(random)] = randomJson(random)
  return made
}

export function randomMessages(random: Random): Record<string, unknown>[] {
  const messages: Record<string, unknown>[] = []
  if (random.chance(0.4)) messages.push(message(random, random.pick(['system', 'system', 'developer'])))
  const turns = random.below(5)
  for (let i = 0; i < turns; i++) {
    if (random.chance(0.9)) messages.push(message(random, i % 2 === 0 ? 'user' : 'assistant'))
    if (i % 2 === 1 && random.chance(0.25)) messages.push(message(random, 'tool'))
    if (random.chance(0.04)) messages.push(message(random, random.pick(['system', 'ipython', 'Critic', 'user', ''])))
  }
  return messages
}

const parameter = (random: Random): unknown => ({
  type: random.pick<unknown>(['string', 'integer', 'number', 'boolean', 'array', ['string', 'null']]),
  ...(random.chance(0.7) ? { description: randomText(random) } : {}),
  ...(random.chance(0.2) ? { enum: random.list(3, () => randomText(random)) } : {}),
  ...(random.chance(0.2) ? { default: randomJson(random, 2) } : {}),
  ...(random.chance(0.2) ? { items: { type: 'string' } } : {}),
})

function tool(random: Random): Record<string, unknown> {
  const properties = Object.fromEntries(
    random.list(3, () => [random.pick(['city', 'unit', 'n', 'größe', 'items']), parameter(random)]),
  )
  const made = {
    name: random.pick(['get_weather', 'search', 'f']),
    description: randomText(random),
    parameters: {
      type: 'object',
      properties,
      ...(random.chance(0.6) ? { required: random.list(2, () => random.pick(['city', 'unit'])) } : {}),
    },
    ...(random.chance(0.1) ? { return: { type: 'string', description: 'x' } } : {}),
  }
  return random.chance(0.85) ? { type: 'function', function: made } : made
}

/** All that a caller may give a template. */
export function randomVariables(random: Random): Record<string, unknown> {
  return {
    messages: randomMessages(random),
    add_generation_prompt: random.chance(0.5),
    ...(random.chance(0.35) ? { tools: random.list(3, () => tool(random)) } : {}),
    ...(random.chance(0.1) ? { documents: random.list(2, () => ({ title: randomText(random), text: randomText(random) })) } : {}),
    ...(random.chance(0.9) ? { bos_token: '<s>', eos_token: '</s>' } : {}),
    ...(random.chance(0.3) ? { enable_thinking: random.pick<unknown>([true, false, null]) } : {}),
    ...(random.chance(0.1)
      ? { reasoning_effort: random.pick(['low', 'high']), builtin_tools: random.list(2, () => 'browser') }
      : {}),
    ...(random.chance(0.1) ? { date_string: '26 Jul 2024', custom_tools: null } : {}),
  }
}
