/** The provider in npm's `ai` 6, beside @ai-sdk/openai-compatible over the same app: one tells the other what is right. `ai` 7: ai-sdk.real.test.ts. */
import { readFileSync } from 'node:fs'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import type { EmbeddingModelV3, LanguageModelV3, ProviderV3 } from '@ai-sdk/provider'
import { createServerApp, ModelRegistry } from '@parscale/core/internal/server'
import { createChatTemplate } from '@parscale/core/internal/tokenizer'
import {
  embedMany,
  generateText,
  jsonSchema,
  type LanguageModel,
  type ModelMessage,
  Output,
  stepCountIs,
  streamText,
  tool,
} from 'ai'
import { afterAll, beforeAll, describe, expect, expectTypeOf, it, vi } from 'vitest'
import { TextModel } from '../../../core/src/generation/index.ts'
import { loadTextModel } from '../load/load.ts'
import { createParscale, type ParscaleProvider } from './index.ts'

const renderings = new URL('../../../../fixtures/templates/renderings.json', import.meta.url)
const { renderings: templates } = JSON.parse(readFileSync(renderings, 'utf8')) as {
  renderings: { name: string; template: string }[]
}
const published = (file: string) => templates.find(({ name }) => name.includes(file))!.template

let text: TextModel
let ours: LanguageModel
let theirs: LanguageModel
let provider: ParscaleProvider<'v3'>
beforeAll(async () => {
  const { model, tokenizer } = await loadTextModel(undefined, { threads: 1 })
  const withTemplate = (chatTemplate: string) =>
    new TextModel(model, tokenizer, createChatTemplate({ tokenizerJson: undefined, chatTemplate }, tokenizer), [], {
      keptBytes: 64e6,
    })
  // The model that ships has no template.
  text = withTemplate(published('qwen2_5.jinja'))
  const thinks = withTemplate(published('deepseekv3_training.jinja'))
  provider = createParscale({ small: text, thinks }, { specification: 'v3' })
  ours = provider('small')
  const registry = new ModelRegistry([{ id: 'small', load: async () => text }])
  const app = createServerApp({ registry })
  const client = createOpenAICompatible({
    name: 'parscale',
    baseURL: 'http://localhost/v1',
    includeUsage: true,
    supportsStructuredOutputs: true,
    fetch: async (url, init) => await app.fetch(new Request(url, init)),
  })
  theirs = client('small')
  vi.stubGlobal('AI_SDK_LOG_WARNINGS', false)
  vi.stubGlobal('fetch', () => Promise.reject(new Error('nothing goes over the network')))
})
afterAll(async () => {
  vi.unstubAllGlobals()
  await text.dispose()
})

/** The model knows no conversations: it would end at once. */
const endless = { parscale: { logitBias: { 0: -100 } } }
const free = { temperature: 0, maxOutputTokens: 12, prompt: 'Tell me of the people.', providerOptions: endless }
/** What the API calls it, for the client that sends options as they are. */
const asTheirs = { ...free, providerOptions: { parscale: { logit_bias: { 0: -100 } } } }

describe('texts', () => {
  it('are the ones of the client over HTTP, with its reasons and usage', async () => {
    const [mine, peer] = [await generateText({ ...free, model: ours }), await generateText({ ...asTheirs, model: theirs })]
    expect(mine.text).toBe(peer.text)
    expect(mine.text.length).toBeGreaterThan(10)
    expect(mine.finishReason).toBe('length')
    expect(mine.totalUsage).toMatchObject({ inputTokens: peer.usage.inputTokens, outputTokens: 12, cachedInputTokens: 0 })
    expect(mine.warnings).toEqual([])
  })

  it('come in pieces', async () => {
    const whole = await generateText({ ...free, model: ours })
    const stream = streamText({ ...free, model: ours })
    const pieces: string[] = []
    for await (const piece of stream.textStream) pieces.push(piece)
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.join('')).toBe(whole.text)
    expect(await stream.finishReason).toBe('length')
    // All but the last token of the prompt was there already.
    const { inputTokens, cachedInputTokens } = await stream.usage
    expect(cachedInputTokens).toBe(inputTokens! - 1)
  })

  it('obey seeds, stop strings and turns before', async () => {
    const asked = { ...free, temperature: 1, model: ours }
    const ask = async (seed: number) => (await generateText({ ...asked, seed })).text
    expect(await ask(3)).toBe(await ask(3))
    expect(await ask(3)).not.toBe(await ask(4))
    const { text: whole } = await generateText({ ...free, model: ours })
    const stop = whole.slice(4, 7)
    const stopped = await generateText({ ...free, model: ours, stopSequences: [stop] })
    expect([stopped.text, stopped.finishReason]).toEqual([whole.slice(0, whole.indexOf(stop)), 'stop'])
    const messages: ModelMessage[] = [
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'I look.' },
          { type: 'tool-call', toolCallId: 'c1', toolName: 'weather', input: { city: 'Paris' } },
        ],
      },
      {
        role: 'tool',
        content: [{ type: 'tool-result', toolCallId: 'c1', toolName: 'weather', output: { type: 'json', value: { sun: 1 } } }],
      },
    ]
    const [mine, peer] = await Promise.all([
      generateText({ ...free, prompt: undefined, system: 'Be brief.', messages, model: ours } as Parameters<
        typeof generateText
      >[0]),
      generateText({ ...asTheirs, prompt: undefined, system: 'Be brief.', messages, model: theirs } as Parameters<
        typeof generateText
      >[0]),
    ])
    expect([mine.text, mine.usage.inputTokens]).toEqual([peer.text, peer.usage.inputTokens])
  })

  it('say P, and take it', async () => {
    const choice = { id: expect.any(Number), token: expect.any(String), logprob: expect.any(Number) }
    const p = async (model: LanguageModel, providerOptions: Parameters<typeof generateText>[0]['providerOptions']) => {
      const { providerMetadata } = await generateText({ ...free, model, providerOptions })
      return providerMetadata?.parscale
    }
    expect(await p(ours, {})).toEqual({ p: 8 })
    expect(await p(ours, { parscale: { p: 2 } })).toEqual({ p: 2 })
    expect(await p(provider('small:p4'), {})).toEqual({ p: 4 })
    const metadata = await p(ours, { parscale: { p: 2, streams: true, logitBias: { 0: -100 } } })
    expect(metadata?.streams).toHaveLength(12)
    const stream = streamText({
      ...free,
      model: ours,
      providerOptions: { parscale: { p: 2, streams: true, ...endless.parscale } },
    })
    await stream.consumeStream()
    expect((await stream.providerMetadata)?.parscale).toEqual(metadata)
    expect(metadata?.streamChoices).toEqual(Array(12).fill([choice, choice]))
  })
})

describe('structure', () => {
  const schema = jsonSchema<{ city: 'Paris' | 'Rome'; open: boolean }>({
    type: 'object',
    properties: { city: { enum: ['Paris', 'Rome'] }, open: { type: 'boolean' } },
    required: ['city', 'open'],
    additionalProperties: false,
  })

  it('is held to', async () => {
    const asked = { temperature: 0, prompt: 'Which city?', output: Output.object({ schema }) }
    const [mine, peer] = [await generateText({ ...asked, model: ours }), await generateText({ ...asked, model: theirs })]
    expect(mine.output).toEqual({ city: expect.stringMatching(/^(Paris|Rome)$/), open: expect.any(Boolean) })
    expect(mine.output).toEqual(peer.output)
    expect(mine.finishReason).toBe('stop')
  })

  it('holds for tools, whole and in a stream', async () => {
    const called: unknown[] = []
    // Small: tools and call are to fit the model's context.
    const schema = jsonSchema<{ open: boolean }>({
      ...{ type: 'object', properties: { open: { type: 'boolean' } }, required: ['open'], additionalProperties: false },
    })
    const tools = {
      weather: tool({ description: 'The weather', inputSchema: schema, execute: async (input) => void called.push(input) }),
    }
    // White space is allowed between values, and this model writes nothing else there.
    const blank = Array.from({ length: text.tokenizer.vocabSize }, (_, id) => id).filter(
      (id) => text.tokenizer.decode([id]).trim() === '',
    )
    const bias = Object.fromEntries(blank.map((id) => [id, -100]))
    const asked = { temperature: 0, prompt: 'Weather?', tools, toolChoice: 'required' as const, maxOutputTokens: 200 }
    const mine = { ...asked, model: ours, providerOptions: { parscale: { logitBias: bias } } }
    const whole = await generateText(mine)
    const peer = await generateText({ ...asked, model: theirs, providerOptions: { parscale: { logit_bias: bias } } })
    const stream = streamText(mine)
    const types: string[] = []
    for await (const part of stream.fullStream) types.push(part.type)
    const inputs = [whole.toolCalls, peer.toolCalls, await stream.toolCalls].map((calls) => calls.map(({ input }) => input))
    expect(inputs[0]!.length).toBeGreaterThan(0)
    expect(inputs[1]).toEqual(inputs[0])
    expect(inputs[2]).toEqual(inputs[0])
    expect(called[0]).toEqual(inputs[0]![0])
    expect([whole.finishReason, await stream.finishReason]).toEqual(['tool-calls', 'tool-calls'])
    expect(types.filter((type) => type === 'tool-input-start')).toHaveLength(inputs[0]!.length)
    expect(types.indexOf('tool-input-end')).toBeLessThan(types.indexOf('tool-call'))
  })
})

it('calls tools where an output is asked for as well, and then gives the output', async () => {
  const schema = jsonSchema<{ city: 'Paris' | 'Rome' }>({
    type: 'object',
    properties: { city: { enum: ['Paris', 'Rome'] } },
    required: ['city'],
    additionalProperties: false,
  })
  // Short: two turns are to fit the model's context.
  const tools = { sky: tool({ inputSchema: schema, execute: () => 1 }) }
  const vocabulary = Array.from({ length: text.tokenizer.vocabSize }, (_, id) => id)
  const bias = (likely: number) =>
    Object.fromEntries([
      ...vocabulary.filter((id) => text.tokenizer.decode([id]).trim() === '').map((id) => [id, -100]),
      ...vocabulary.filter((id) => text.tokenizer.decode([id]).startsWith('<')).map((id) => [id, likely]),
      // One call, and then the end.
      ...text.stopTokenIds.map((id) => [id, 100]),
    ])
  const { steps, output } = await generateText({
    ...{ model: ours, temperature: 0, system: '-', prompt: '?', tools, output: Output.object({ schema }), maxOutputTokens: 60 },
    stopWhen: stepCountIs(2),
    // The model knows no conversations: it is told when to call.
    prepareStep: ({ stepNumber }) => ({ providerOptions: { parscale: { logitBias: bias(stepNumber === 0 ? 50 : -100) } } }),
  })
  expect(steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop'])
  expect(output).toEqual({ city: expect.stringMatching(/^(Paris|Rome)$/) })
})

describe('reasoning', () => {
  it('comes apart from the text, whole and in a stream', async () => {
    // Its prompt ends within the reasoning, and the model never closes it.
    const whole = await generateText({ ...free, model: provider('thinks') })
    const stream = streamText({ ...free, model: provider('thinks') })
    const types: string[] = []
    for await (const { type } of stream.fullStream) types.push(type)
    expect([whole.text, await stream.text]).toEqual(['', ''])
    expect(whole.reasoningText!.length).toBeGreaterThan(10)
    expect(await stream.reasoningText).toBe(whole.reasoningText)
    expect([types.indexOf('reasoning-start'), types.lastIndexOf('reasoning-end')]).not.toContain(-1)
  })

  it('is asked for where the template has it, and else warned of', async () => {
    const later = createParscale({ small: text })
    const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'x' }] }]
    const { warnings } = await later('small').doGenerate({ prompt, maxOutputTokens: 2, reasoning: 'high' })
    expect(warnings).toEqual([{ type: 'unsupported', feature: 'reasoning', details: "the model's chat template has none" }])
  })
})

describe('ends', () => {
  /** It would go on to the end of the context, some two thousand tokens. */
  async function endsSoon(before: number) {
    await expect.poll(() => text.scheduler.counters.rows).toBe(0)
    expect(text.scheduler.counters.generatedTokens - before).toBeLessThan(200)
  }

  it('with the signal, and frees the rows', async () => {
    const leave = new AbortController()
    const before = text.scheduler.counters.generatedTokens
    const stream = streamText({ ...free, maxOutputTokens: 2000, model: ours, abortSignal: leave.signal })
    const types: string[] = []
    for await (const { type } of stream.fullStream) {
      types.push(type)
      if (type === 'text-delta') leave.abort()
    }
    expect(types.at(-1)).toBe('abort')
    await endsSoon(before)
    const late = generateText({ ...free, model: ours, abortSignal: AbortSignal.abort() })
    await expect(late).rejects.toThrow(/abort/i)
  })

  it('with the reader', async () => {
    const before = text.scheduler.counters.generatedTokens
    const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'x' }] }]
    const { stream } = await provider('small').doStream({ prompt, temperature: 0, providerOptions: endless })
    const reader = stream.getReader()
    for (let parts = 0; parts < 5; parts++) await reader.read()
    await reader.cancel()
    await endsSoon(before)
  })

  it('leaves nothing of a stream that is left between two parts, or before the first', async () => {
    const acquire = vi.spyOn(ModelRegistry.prototype, 'acquire')
    const model = createParscale(text)()
    const users = () => (acquire.mock.contexts.at(-1) as ModelRegistry).statuses[0]!.users
    const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'x' }] }]
    for (const way of ['cancel', 'abort'] as const)
      for (const parts of [0, 1, 4]) {
        const leave = new AbortController()
        const asked = { prompt, temperature: 0, providerOptions: endless, abortSignal: leave.signal }
        const reader = (await model.doStream(asked)).stream.getReader()
        for (let read = 0; read < parts; read++) await reader.read()
        expect(users(), `${way} after ${parts}`).toBe(1)
        if (way === 'cancel') await reader.cancel()
        else leave.abort()
        await expect.poll(users, { message: `${way} after ${parts}` }).toBe(0)
        await expect.poll(() => text.scheduler.counters.rows).toBe(0)
      }
    acquire.mockRestore()
  })
})

describe('refuses and warns', () => {
  it('by name', async () => {
    const errors: [Partial<Parameters<typeof generateText>[0]>, RegExp][] = [
      [{ providerOptions: { parscale: { p: 3 } } }, /P = 3: this model has no such stream set/],
      [{ temperature: 3 }, /temperature/],
      [{ prompt: 'word '.repeat(3000) }, /maximum context length|tokens/],
    ]
    for (const [more, message] of errors)
      await expect(generateText({ ...free, ...more, model: ours } as Parameters<typeof generateText>[0])).rejects.toThrow(message)
    const unknown = { name: 'ParscaleError', kind: 'usage', message: 'there is no model "other"; there are small, thinks' }
    for (const make of [provider, provider.languageModel, provider.embeddingModel])
      expect(() => make('other')).toThrow(expect.objectContaining(unknown))
    const image: ModelMessage[] = [{ role: 'user', content: [{ type: 'image', image: new Uint8Array([1]) }] }]
    await expect(generateText({ model: ours, messages: image })).rejects.toThrow(/"file" are not supported, only texts/)
  })

  it('of what it does not know', async () => {
    const providerOptions = { parscale: { ...endless.parscale, streamz: true } }
    const { warnings } = await generateText({ ...free, providerOptions, model: ours })
    expect(warnings).toEqual([{ type: 'other', message: 'providerOptions.parscale has no "streamz"' }])
  })
})

it('embeds', async () => {
  const { embeddings, usage } = await embedMany({ model: provider.embeddingModel('small'), values: ['the people', 'a whale'] })
  expect(embeddings.map((one) => one.length)).toEqual([text.model.config.hiddenSize, text.model.config.hiddenSize])
  expect(Math.hypot(...embeddings[0]!)).toBeCloseTo(1, 5)
  expect(usage.tokens).toBeGreaterThan(2)
})

// Those of `v4`: scripts/newcomer/checks.mjs, as their package asks for Node 22.
it('is of the types of `v3`', () => {
  expectTypeOf<ParscaleProvider<'v3'>>().toExtend<ProviderV3>()
  expectTypeOf<ReturnType<ParscaleProvider<'v3'>['languageModel']>>().toExtend<LanguageModelV3>()
  expectTypeOf<ReturnType<ParscaleProvider<'v3'>['embeddingModel']>>().toExtend<EmbeddingModelV3>()
})
