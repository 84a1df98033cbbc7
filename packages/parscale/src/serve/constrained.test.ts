/** Answers that have to be something, asked for with npm's openai: of a model that knows neither JSON nor tools. */
import { grammarConstraints } from '@parscale/core/internal/server'
import { createChatTemplate, type Tokenizer } from '@parscale/core/internal/tokenizer'
import { Ajv2020 } from 'ajv/dist/2020.js'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TextModel } from '../../../core/src/generation/index.ts'
import { loadTextModel } from '../load/load.ts'
import { listening } from './testing/listening.ts'

/** Short, as the model's context is: tools by name, calls as Qwen's template writes them. */
const chatTemplate = `{% if tools %}{% for t in tools %}{{ t.function.name }} {% endfor %}{% endif %}{% for m in messages %}{{ m.content }}{% for c in m.tool_calls %}
<tool_call>
{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}
</tool_call>{% endfor %} {% endfor %}`

let server: Awaited<ReturnType<typeof listening>>
let client: OpenAI
/** This model would fill its answers with white space, which JSON allows. */
let noSpaces: Record<string, number>
let tokens: Tokenizer
/** Tokens that only a call can begin with. */
let openings: number[]
beforeAll(async () => {
  const { model, tokenizer } = await loadTextModel(undefined, { threads: 1 })
  const text = new TextModel(model, tokenizer, createChatTemplate({ tokenizerJson: undefined, chatTemplate }, tokenizer))
  const ids = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => /^\s+$/.test(tokenizer.tokenText(id)))
  tokens = tokenizer
  openings = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => tokenizer.tokenText(id).startsWith('<'))
  noSpaces = Object.fromEntries(ids.map((id) => [id, -100]))
  server = await listening({ small: text }, { constrain: grammarConstraints() })
  client = new OpenAI({ baseURL: server.baseURL, apiKey: 'none', maxRetries: 0 })
})
afterAll(() => server?.close())

const asked = { model: 'small', max_tokens: 200, messages: [{ role: 'user' as const, content: 'Tell me.' }] }
const schema = {
  type: 'object',
  properties: {
    kind: { enum: ['ship', 'whale'] },
    count: { type: 'integer', minimum: 3, maximum: 12 },
    seen: { type: 'boolean' },
  },
  required: ['kind', 'count', 'seen'],
  additionalProperties: false,
}
const isValid = new Ajv2020().compile(schema)

it.each([1, 2, 3])('follow a schema (seed %i)', async (seed) => {
  const format = { type: 'json_schema' as const, json_schema: { name: 'sight', strict: true, schema } }
  const { choices } = await client.chat.completions.create({ ...asked, logit_bias: noSpaces, seed, response_format: format })
  expect(`${choices[0]!.finish_reason} ${choices[0]!.message.content}`).toMatch(/^stop/)
  const answer = JSON.parse(choices[0]!.message.content!)
  expect([isValid(answer), answer]).toEqual([true, answer])
  const { output_text } = await client.responses.create({
    ...({ logit_bias: noSpaces } as object),
    model: 'small',
    input: 'Tell me.',
    text: { format: { type: 'json_schema', name: 'sight', schema } },
  })
  expect(isValid(JSON.parse(output_text))).toBe(true)
})

describe('are calls', () => {
  const tools = ['look', 'wait'].map((name) => ({ type: 'function' as const, function: { name, parameters: schema } }))

  it.each(['required' as const, { type: 'function' as const, function: { name: 'wait' } }])('%j', async (choice) => {
    const stream = client.chat.completions.stream({
      ...asked,
      logit_bias: noSpaces,
      seed: 5,
      tools,
      tool_choice: choice,
      parallel_tool_calls: false,
    })
    const { choices } = await stream.finalChatCompletion()
    expect(choices[0]!.finish_reason).toBe('tool_calls')
    expect(choices[0]!.message.tool_calls).toHaveLength(1)
    const { name, arguments: given } = choices[0]!.message.tool_calls![0]!.function
    expect(choice === 'required' ? ['look', 'wait'] : ['wait']).toContain(name)
    expect(isValid(JSON.parse(given))).toBe(true)
  })
})

it('are calls or follow the schema, where both are asked for', async () => {
  const tools = [{ type: 'function' as const, function: { name: 'look', parameters: schema } }]
  const formats = [
    { type: 'json_schema' as const, json_schema: { name: 'sight', schema } },
    { type: 'json_object' as const },
    { type: 'regex', pattern: '[{]"kind":"(ship|whale)","count":4,"seen":true[}]' } as never,
  ]
  expect(openings.length).toBeGreaterThan(0)
  for (const response_format of formats) {
    const ask = async (bias: number, tool_choice?: 'auto' | 'none') => {
      const likely = Object.fromEntries(openings.map((id) => [id, bias]))
      const both = { response_format, tools, parallel_tool_calls: false, logit_bias: { ...noSpaces, ...likely } }
      return (
        await client.chat.completions.create({ ...asked, seed: 2, max_tokens: 200, ...both, ...(tool_choice && { tool_choice }) })
      ).choices[0]!
    }
    const called = await ask(100)
    expect(called).toMatchObject({
      finish_reason: 'tool_calls',
      message: { content: null, tool_calls: [{ function: { name: 'look' } }] },
    })
    expect(await ask(100, 'auto')).toMatchObject({ finish_reason: 'tool_calls' })
    for (const answer of [await ask(-100), await ask(100, 'none')]) {
      expect(answer.message.tool_calls).toBeUndefined()
      // An object of any kind has texts without end.
      expect(response_format.type === 'json_object' || answer.finish_reason).toBeOneOf([true, 'stop'])
      expect(answer.message.content).toMatch(answer.finish_reason === 'stop' ? /^[{].*[}]$/ : /^[{]/)
    }
  }
})

it('match a pattern', async () => {
  const format = { type: 'regex', pattern: '(yes|no), [0-9]{2}' } as never
  const { choices } = await client.chat.completions.create({ ...asked, response_format: format })
  expect(choices[0]!.message.content).toMatch(/^(yes|no), [0-9]{2}$/)
})

it('is the request’s own fault where its biases ban all that the pattern allows', async () => {
  const format = { type: 'regex', pattern: 'a b' } as never
  const banned = { response_format: format, logit_bias: noSpaces, seed: 1 }
  // Banned are spaces alone; ' b' as one token is not.
  const spaced = Array.from({ length: tokens.vocabSize }, (_, id) => id).filter((id) => tokens.tokenText(id).startsWith(' '))
  const all = { ...banned, logit_bias: { ...noSpaces, ...Object.fromEntries(spaced.map((id) => [id, -100])) } }
  await expect(client.chat.completions.create({ ...asked, ...all })).rejects.toMatchObject({
    status: 400,
    message: expect.stringMatching(/tokens are banned.*logit_bias/),
  })
})

it('are refused by name where a schema says what cannot be held to, while others go on', async () => {
  const going = client.completions.create({
    model: 'small',
    prompt: 'The',
    max_tokens: 60,
    temperature: 0,
    logit_bias: { 0: -100 },
  })
  const format = {
    type: 'json_schema' as const,
    json_schema: { name: 'x', schema: { type: 'object', patternProperties: { '(?<=a)b': {} }, unevaluatedProperties: false } },
  }
  const refused = await client.chat.completions.create({ ...asked, response_format: format }).catch((error) => error)
  expect(refused).toBeInstanceOf(OpenAI.BadRequestError)
  expect(refused.message).toMatch(/patternProperties|unevaluatedProperties|\(\?<=/)
  expect((await going).usage!.completion_tokens).toBe(60)
})
