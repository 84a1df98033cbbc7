/** Answers in the forms of several families, in whatever pieces they come. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type OutputEvent, OutputParser, type ParserOptions } from './parser.ts'

const think = { open: '<think>', close: '</think>' }
const plain: ParserOptions = { reasoning: undefined, tools: undefined, reasons: false }

interface Parsed {
  content: string
  reasoning: string
  calls: { name: string; arguments: string }[]
}

function collect(events: readonly OutputEvent[]): Parsed {
  const parsed: Parsed = { content: '', reasoning: '', calls: [] }
  for (const event of events) {
    if (event.type === 'call') {
      expect(event.index).toBe(parsed.calls.length)
      parsed.calls.push({ name: event.name, arguments: '' })
    } else if (event.type === 'arguments') {
      expect(event.index).toBe(parsed.calls.length - 1)
      parsed.calls.at(-1)!.arguments += event.text
    } else parsed[event.type] += event.text
  }
  return parsed
}

function parse(options: ParserOptions, pieces: readonly string[]): Parsed {
  const parser = new OutputParser(options)
  const parsed = collect([...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()])
  expect(parser.calls).toBe(parsed.calls.length)
  return parsed
}

const call = (name: string, given: string) => ({ name, arguments: given })
const paris = '{"city": "Paris", "note": "a } \\"brace\\" ] </tool_cal"}'

const answers: [string, Partial<ParserOptions>, string, Partial<Parsed>][] = [
  ['plain text as it is', {}, '  Hello <think>\n {"name": 1} \n', { content: '  Hello <think>\n {"name": 1} \n' }],
  [
    'reasoning, then content',
    { reasoning: think },
    '<think>\nWell. <b>\n</think>\n\nYes.',
    { reasoning: 'Well. <b>', content: 'Yes.' },
  ],
  [
    'reasoning that the prompt opened',
    { reasoning: think, reasons: true },
    'Well.\n</think>\n\nYes.',
    { reasoning: 'Well.', content: 'Yes.' },
  ],
  ['reasoning without an end', { reasoning: think, reasons: true }, 'Well. </thin', { reasoning: 'Well. </thin' }],
  ['a mark in the middle of content', { reasoning: think }, 'It is <think>, I think', { content: 'It is <think>, I think' }],
  [
    'one call of Qwen and Hermes',
    { tools: 'hermes' },
    `Let me see.\n<tool_call>\n{"name": "weather", "arguments": ${paris}}\n</tool_call>`,
    { content: 'Let me see.', calls: [call('weather', paris)] },
  ],
  [
    'reasoning and two calls',
    { tools: 'hermes', reasoning: think },
    `<think>\nTwo.\n</think>\n\n<tool_call>\n{"name": "a", "arguments": {}}\n</tool_call>\n<tool_call>\n{"arguments": {"x": [1]}, "name": "b"}\n</tool_call>`,
    { reasoning: 'Two.', calls: [call('a', '{}'), call('b', '{"x":[1]}')] },
  ],
  [
    'a call that ends early',
    { tools: 'hermes' },
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Pa',
    { calls: [call('weather', '{"city": "Pa')] },
  ],
  [
    'what is no call',
    { tools: 'hermes' },
    'A <tool_call>{"nam": 1}</tool_call> B',
    { content: 'A <tool_call>{"nam": 1}</tool_call> B' },
  ],
  [
    'a list of calls of Mistral',
    { tools: 'mistral' },
    `[TOOL_CALLS] [{"name": "a", "arguments": ${paris}}, {"name": "b", "arguments": {}, "id": "abcdefghi"}]`,
    { calls: [call('a', paris), call('b', '{}')] },
  ],
  [
    'calls of newer Mistral',
    { tools: 'mistral-args' },
    '[TOOL_CALLS]weather[ARGS]{"city": "Paris"}[TOOL_CALLS]time[CALL_ID]123456789[ARGS]{"zone": {}}',
    { calls: [call('weather', '{"city": "Paris"}'), call('time', '{"zone": {}}')] },
  ],
  ['a call of Llama', { tools: 'llama' }, `{"name": "weather", "parameters": ${paris}}`, { calls: [call('weather', paris)] }],
  [
    'calls of Llama, with a type',
    { tools: 'llama' },
    '<|python_tag|>{"type": "function", "name": "a", "parameters": {"x": "1"}}; {"type": "function", "name": "b", "parameters": {}}',
    { calls: [call('a', '{"x": "1"}'), call('b', '{}')] },
  ],
  ['JSON that is an answer', { tools: 'llama' }, '{"answer": {"name": "x"}}', { content: '{"answer": {"name": "x"}}' }],
  [
    'arguments as a text',
    { tools: 'hermes' },
    '<tool_call>{"name":"a","arguments":"{\\"x\\":1}"}</tool_call>',
    { calls: [call('a', '{"x":1}')] },
  ],
]

describe.each(answers)('%s', (_, options, text, expected) => {
  const whole = { content: '', reasoning: '', calls: [], ...expected }

  it('is read whole', () => {
    expect(parse({ ...plain, ...options }, [text])).toEqual(whole)
  })

  it('is read in any pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 12 }), (cuts) => {
        const ends = [...cuts.sort((a, b) => a - b), text.length]
        const pieces = ends.map((end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end))
        expect(parse({ ...plain, ...options }, pieces)).toEqual(whole)
      }),
      { seed: 1, numRuns: 60 },
    )
  })
})

it('tells a call as soon as its name is known, and arguments as they come', () => {
  const parser = new OutputParser({ ...plain, tools: 'hermes' })
  expect(parser.push('<tool_call>\n{"name": "weather", "argu')).toEqual([])
  expect(parser.push('ments": {"ci')).toEqual([
    { type: 'call', index: 0, name: 'weather' },
    { type: 'arguments', index: 0, text: '{"ci' },
  ])
  expect(parser.push('ty": 1')).toEqual([{ type: 'arguments', index: 0, text: 'ty": 1' }])
})

it('never fails, whatever comes', () => {
  const piece = fc.constantFrom(
    '<tool_call>',
    '</tool_call>',
    '{',
    '}',
    '"',
    '[',
    ']',
    '\\',
    '"name": ',
    '"arguments": ',
    'x',
    ' ',
    '<think>',
    '</think>',
    '[TOOL_CALLS]',
    ',',
    ':',
  )
  const options = fc.record({
    tools: fc.constantFrom('hermes' as const, 'mistral' as const, 'mistral-args' as const, 'llama' as const, undefined),
    reasoning: fc.constantFrom(think, undefined),
    reasons: fc.boolean(),
  })
  fc.assert(
    fc.property(options, fc.array(piece, { maxLength: 40 }), (options, pieces) => {
      const apart = parse(options, pieces)
      expect(apart).toEqual(parse(options, [pieces.join('')]))
    }),
    { seed: 2, numRuns: 3000 },
  )
})
