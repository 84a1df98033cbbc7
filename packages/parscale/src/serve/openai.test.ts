/** npm's openai, unmodified, against a real listener and the model that ships. */
import { readFileSync } from 'node:fs'
import type { TextModel, TokenConstraint } from '@parscale/core/internal/generation'
import type { Demand } from '@parscale/core/internal/server'
import { createChatTemplate } from '@parscale/core/internal/tokenizer'
import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TextModel as Model } from '../../../core/src/generation/index.ts'
import { loadTextModel } from '../load/load.ts'
import { longContextModel } from '../testing/long-context.ts'
import { listening } from './testing/listening.ts'

const fixture = (path: string) => JSON.parse(readFileSync(new URL(`../../../../fixtures/${path}`, import.meta.url), 'utf8'))
const qwen = (fixture('templates/renderings.json') as { renderings: { name: string; template: string }[] }).renderings.find(
  ({ name }) => name.includes('qwen2_5.jinja'),
)!.template

/** Makes the model write this and end, so that its form is known. */
function say({ tokenizer, stopTokenIds }: TextModel, words: string): TokenConstraint {
  const ids = [...tokenizer.encode(words), stopTokenIds[0]!]
  let at = 0
  return {
    allowed() {
      const mask = new Uint32Array(Math.ceil(tokenizer.vocabSize / 32))
      mask[ids[at]! >>> 5] = 1 << (ids[at]! & 31)
      return mask
    },
    accept: () => void at++,
    done: false,
  }
}
const words = (demand: Demand) =>
  demand.kind === 'calls'
    ? 'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>\n<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
    : '{"city": "Paris"}'

let text: TextModel
let server: Awaited<ReturnType<typeof listening>>
let client: OpenAI
/** The template's words about tools take some four hundred tokens. */
const long = longContextModel()
beforeAll(async () => {
  const loaded = await loadTextModel(long.path, { threads: 1 })
  // The model that ships has no template.
  const template = createChatTemplate({ tokenizerJson: undefined, chatTemplate: qwen }, loaded.tokenizer)
  text = new Model(loaded.model, loaded.tokenizer, template, [], { keptBytes: 64e6, promptTokensBeside: 32 })
  server = await listening(
    { small: text },
    { constrain: (text, demand) => say(text, words(demand)), isKey: (key) => key === 'secret' },
  )
  client = new OpenAI({ baseURL: server.baseURL, apiKey: 'secret', maxRetries: 0 })
})
afterAll(async () => {
  await server?.close()
  long.remove()
})

const messages = [{ role: 'user' as const, content: 'Tell me of the people.' }]
const greedy = { model: 'small', temperature: 0, max_tokens: 12 }
/** The model knows no conversations: it would end at once. */
const endless = { logit_bias: { 0: -100 } }
const free = { ...greedy, ...endless }

describe('chat', () => {
  it('answers whole and in a stream alike', async () => {
    const whole = await client.chat.completions.create({ ...free, messages })
    expect(whole.choices[0]!.finish_reason).toBe('length')
    expect(whole.usage).toMatchObject({ completion_tokens: 12 })
    const stream = await client.chat.completions.create({
      ...free,
      messages,
      stream: true,
      stream_options: { include_usage: true },
    })
    let content = ''
    let usage: unknown
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
    }
    expect(content).toBe(whole.choices[0]!.message.content)
    expect(usage).toMatchObject({
      completion_tokens: 12,
      prompt_tokens_details: { cached_tokens: whole.usage!.prompt_tokens - 1 },
    })
  })

  it('gives several answers, the same ones for the same seed', async () => {
    const ask = () => client.chat.completions.create({ ...free, messages, temperature: 1, seed: 4, n: 3 })
    const [first, second] = [await ask(), await ask()]
    const contents = first.choices.map(({ message }) => message.content)
    expect(new Set(contents).size).toBe(3)
    expect(second.choices.map(({ message }) => message.content)).toEqual(contents)
  })

  const tools = ['weather', 'time'].map((name) => ({
    type: 'function' as const,
    function: { name, parameters: { type: 'object', properties: {} } },
  }))

  it('calls tools', async () => {
    const { choices } = await client.chat.completions.create({
      ...greedy,
      max_tokens: 200,
      messages,
      tools,
      tool_choice: 'required',
    })
    expect(choices[0]).toMatchObject({
      finish_reason: 'tool_calls',
      message: {
        content: 'Let me see.',
        tool_calls: [
          { type: 'function', function: { name: 'weather', arguments: '{"city": "Paris"}' } },
          { type: 'function', function: { name: 'time', arguments: '{}' } },
        ],
      },
    })
  })

  it('calls tools in a stream: index, id and name once, the reason once', async () => {
    const stream = client.chat.completions.stream({ ...greedy, max_tokens: 200, messages, tools, tool_choice: 'required' })
    const chunks: OpenAI.ChatCompletionChunk[] = []
    stream.on('chunk', (chunk) => void chunks.push(chunk))
    const final = await stream.finalChatCompletion()
    expect(final.choices[0]!.message.tool_calls?.map(({ function: called }) => [called.name, called.arguments])).toEqual([
      ['weather', '{"city": "Paris"}'],
      ['time', '{}'],
    ])
    const deltas = chunks.flatMap(({ choices }) => choices[0]?.delta.tool_calls ?? [])
    expect(deltas.filter(({ id }) => id).map(({ index, function: f }) => [index, f?.name])).toEqual([
      [0, 'weather'],
      [1, 'time'],
    ])
    expect(deltas.filter(({ index }) => index === 0).length).toBeGreaterThan(2)
    expect(chunks.flatMap(({ choices }) => choices[0]?.finish_reason ?? [])).toEqual(['tool_calls'])
  })

  it('takes back calls and their results', async () => {
    const call = { id: 'call_1', type: 'function' as const, function: { name: 'weather', arguments: '{"city":"Paris"}' } }
    const { usage } = await client.chat.completions.create({
      ...free,
      tools,
      messages: [
        ...messages,
        { role: 'assistant', content: null, tool_calls: [call] },
        { role: 'tool', tool_call_id: 'call_1', content: 'rain' },
      ],
    })
    expect(usage!.completion_tokens).toBe(12)
  })

  it('parses what has a schema', async () => {
    const format = { type: 'json_schema' as const, json_schema: { name: 'place', strict: true, schema: { type: 'object' } } }
    const { choices } = await client.chat.completions.parse({ ...greedy, max_tokens: 60, messages, response_format: format })
    expect(choices[0]!.message.parsed).toEqual({ city: 'Paris' })
  })
})

it('continues texts, and echoes with log-probabilities', async () => {
  const { choices } = await client.completions.create({
    ...greedy,
    prompt: ['The people of the United', 'It is'],
    echo: true,
    logprobs: 3,
  })
  expect(choices).toHaveLength(2)
  expect(choices[0]!.text).toMatch(/^The people of the United States/)
  const { tokens, token_logprobs, top_logprobs } = choices[0]!.logprobs!
  expect(token_logprobs!.length).toBe(tokens!.length)
  for (const [i, token] of tokens!.entries()) if (i > 0) expect(top_logprobs![i]![token]).toBe(token_logprobs![i])
})

it('embeds texts, as floats and in base64 alike, of unit length', async () => {
  const input = ['The people', 'of the United States']
  const floats = await client.embeddings.create({ model: 'small', input, encoding_format: 'float' })
  const coded = await client.embeddings.create({ model: 'small', input })
  for (const [i, { embedding }] of floats.data.entries()) {
    expect(embedding).toHaveLength(text.model.config.hiddenSize)
    expect(Math.hypot(...embedding)).toBeCloseTo(1, 5)
    expect(coded.data[i]!.embedding).toEqual(embedding)
  }
})

describe('responses', () => {
  it('come whole', async () => {
    const response = await client.responses.create({
      model: 'small',
      instructions: 'Be brief.',
      input: 'Tell me.',
      temperature: 0,
      max_output_tokens: 8,
      ...endless,
    })
    expect(response).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      usage: { output_tokens: 8 },
    })
    expect(response.output_text.length).toBeGreaterThan(0)
  })

  it('come as events, in order, with calls, and tools that nobody knows are left out', async () => {
    const stream = client.responses.stream({
      ...{ model: 'small', input: [{ role: 'user', content: 'What is the weather?' }], temperature: 0, tool_choice: 'required' },
      tools: [
        { type: 'function', name: 'weather', parameters: { type: 'object' }, strict: false },
        { type: 'web_search' },
        { type: 'none_such' } as never,
      ],
    })
    const events: string[] = []
    const numbers: number[] = []
    stream.on('event', (event) => {
      events.push(event.type)
      numbers.push((event as { sequence_number: number }).sequence_number)
    })
    const { output } = await stream.finalResponse()
    expect(numbers).toEqual(numbers.map((_, i) => i))
    expect(events[0]).toBe('response.created')
    expect(events.at(-1)).toBe('response.completed')
    expect(output.map(({ type }) => type)).toEqual(['message', 'function_call', 'function_call'])
    expect(output[1]).toMatchObject({ name: 'weather', arguments: '{"city": "Paris"}', status: 'completed' })
    const count = (type: string) => events.filter((event) => event === type).length
    expect([
      count('response.output_item.added'),
      count('response.output_item.done'),
      count('response.function_call_arguments.done'),
    ]).toEqual([3, 3, 2])
  })

  it('take back what came before', async () => {
    const response = await client.responses.create({
      model: 'small',
      max_output_tokens: 4,
      ...endless,
      input: [
        { role: 'user', content: [{ type: 'input_text', text: 'What is the weather?' }] },
        { type: 'function_call', call_id: 'call_1', name: 'weather', arguments: '{}' },
        { type: 'function_call_output', call_id: 'call_1', output: 'rain' },
      ],
    })
    expect(response.usage!.output_tokens).toBe(4)
  })
})

describe('errors', () => {
  it('are the classes that the client has for them', async () => {
    const long = { ...greedy, messages: [{ role: 'user' as const, content: 'word '.repeat(2400) }] }
    const failed = await client.chat.completions.create(long).catch((error) => error)
    expect(failed).toBeInstanceOf(OpenAI.BadRequestError)
    expect(failed).toMatchObject({ code: 'context_length_exceeded', message: expect.stringContaining('2048') })
    expect(failed.requestID).toMatch(/^req_/)
    const other = new OpenAI({ baseURL: server.baseURL, apiKey: 'no', maxRetries: 0 })
    await expect(other.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError)
    await expect(client.chat.completions.create({ ...greedy, model: 'none', messages })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    )
  })
})

it('lists models', async () => {
  const list = await client.models.list()
  expect(list.data.map(({ id }) => id)).toEqual(['small'])
  expect((await client.models.retrieve('small')).id).toBe('small')
})

it('frees the rows of clients that go away, in streams and without', async () => {
  const before = text.engine.cacheMemoryBytes
  // One for each: the client listens to its signal without end, of which Node warns where many share one.
  const left = Array.from({ length: 20 }, () => new AbortController())
  const asked = { ...free, max_tokens: 400, messages }
  const streams = left.slice(0, 10).map(async ({ signal }) => {
    const stream = await client.chat.completions.create({ ...asked, stream: true }, { signal })
    for await (const _ of stream);
  })
  const wholes = left.slice(10).map(({ signal }) => client.chat.completions.create(asked, { signal }))
  const all = Promise.allSettled([...streams, ...wholes])
  await expect.poll(() => text.scheduler.counters.running, { interval: 1 }).toBe(20)
  for (const one of left) one.abort()
  await all
  await expect.poll(() => text.scheduler.counters).toMatchObject({ running: 0, rows: 0 })
  expect(text.engine.cacheMemoryBytes).toBe(before)
  await expect.poll(() => server.app.active()).toBe(0)
})
