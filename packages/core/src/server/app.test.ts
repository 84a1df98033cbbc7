/** The app by itself: checks, limits, names, queues and the end of requests, on a decoder that computes nothing. */
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { TextModel } from '../generation/index.ts'
import { fakeEngine } from '../generation/testing/fake-decoder.ts'
import { until } from '../testing/until.ts'
import { byteTokenizerFiles } from '../tokenizer/byte-tokenizer.ts'
import { createChatTemplate, createTokenizer } from '../tokenizer/index.ts'
import { createServerApp, ModelRegistry, type RequestRecord, type ServerOptions } from './index.ts'

const chatTemplate =
  "{% for m in messages %}{% if m.role == 'tool' %}{% for a in range(2000) %}{% for b in range(2000) %}{% endfor %}{% endfor %}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"

function textModel(options: { vocabSize?: number } = {}) {
  const { engine, decoder } = fakeEngine({ ragged: true, p: [4, 8], vocabSize: 258, context: 600, ...options })
  const files = { ...byteTokenizerFiles(['<begin>', '<end>']), chatTemplate }
  const tokenizer = createTokenizer(files)
  return {
    decoder,
    text: new TextModel(engine.model, tokenizer, createChatTemplate(files, tokenizer), [], { keptBytes: 5000, maxRows: 16 }),
  }
}

let { text, decoder } = textModel()
let records: RequestRecord[]
let loads = 0

function serverApp(options: Partial<ServerOptions> = {}, registryOptions: { idleMs?: number } = {}) {
  ;({ text, decoder } = textModel())
  records = []
  loads = 0
  const load = async () => {
    loads++
    return loads === 1 ? text : textModel().text
  }
  const registry = new ModelRegistry(
    [
      { id: 'tiny', load },
      { id: 'org/other', load: async () => textModel().text },
    ],
    registryOptions,
  )
  const app = createServerApp({ registry, onRequest: (record) => void records.push(record), ...options })
  const call = async (path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const init =
      body === undefined
        ? { headers }
        : {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...headers },
            body: typeof body === 'string' ? body : JSON.stringify(body),
          }
    return await app.fetch(new Request(`http://localhost${path}`, init))
  }
  return { app, call, registry }
}

/** A server whose model is loaded when `open` is called. */
function loadingServer(options: Partial<ServerOptions> = {}) {
  records = []
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  const load = async () => {
    await opened
    return textModel().text
  }
  const registry = new ModelRegistry([{ id: 'tiny', load }])
  const app = createServerApp({ registry, onRequest: (record) => void records.push(record), ...options })
  const ask = async (path: string, body: object, signal?: AbortSignal) =>
    await app.fetch(new Request(`http://localhost${path}`, { method: 'POST', body: JSON.stringify(body), signal }))
  return { app, registry, ask, open }
}

let server: ReturnType<typeof serverApp>
beforeEach(() => {
  server = serverApp()
})

const complete = { model: 'tiny', prompt: 'AB', max_tokens: 4, temperature: 0 }
const json = async (response: Response) => (await response.json()) as Record<string, never>

it('continues a text', async () => {
  const response = await server.call('/v1/completions', complete)
  expect(response.status).toBe(200)
  expect(response.headers.get('x-request-id')).toMatch(/^req_/)
  expect(await json(response)).toMatchObject({
    object: 'text_completion',
    model: 'tiny',
    choices: [{ index: 0, text: 'CDEF', logprobs: null, finish_reason: 'length' }],
    usage: { prompt_tokens: 2, completion_tokens: 4, total_tokens: 6, prompt_tokens_details: { cached_tokens: 0 } },
    parscale: { p: 8 },
  })
  expect(records).toMatchObject([
    { path: '/v1/completions', status: 200, model: 'tiny', p: 8, numbers: { promptTokens: 2, generatedTokens: 4 } },
  ])
})

it('takes no more bodies at a time than it has memory for', async () => {
  const { app, call } = serverApp({ limits: { allBodiesBytes: 1000 } })
  let end = () => {}
  const slow = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of new TextEncoder().encode(`{"tokens": [${'1, '.repeat(200)}`)) controller.enqueue(Uint8Array.of(byte))
      end = () => {
        controller.enqueue(new TextEncoder().encode('1]}'))
        controller.close()
      }
    },
  })
  const headers = { 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: slow, duplex: 'half' } as RequestInit
  const first = app.fetch(new Request('http://localhost/detokenize', init))
  const other = { tokens: Array.from({ length: 200 }, () => 1) }
  await expect.poll(async () => (await call('/detokenize', other)).status).toBe(503)
  const refused = await call('/detokenize', other)
  expect([refused.headers.get('retry-after'), await refused.json()]).toMatchObject(['1', { error: { code: 'memory_full' } }])
  end()
  expect((await first).status).toBe(200)
  expect((await call('/detokenize', other)).status).toBe(200)
})

describe('what is wrong with a request', () => {
  const message = { role: 'user', content: 'hello' }
  const chat = { model: 'tiny', messages: [message] }
  const refused: [string, string, unknown, number, object][] = [
    ['no JSON', '/v1/completions', '{', 400, { code: 'invalid_json' }],
    ['lists in lists', '/v1/completions', `{"x": ${'['.repeat(600)}${']'.repeat(600)}}`, 400, { code: 'body_too_nested' }],
    [
      'very many values',
      '/v1/completions',
      { ...complete, prompt: Array(300_000).fill(1) },
      400,
      { code: 'body_too_many_values' },
    ],
    ['ids that are none', '/v1/completions', { ...complete, prompt: [1, -1] }, 400, { param: 'prompt' }],
    ['a bias beyond its bounds', '/v1/completions', { ...complete, logit_bias: { 1: 101 } }, 400, { param: 'logit_bias' }],
    ['a number as a prompt', '/v1/completions', { ...complete, prompt: 1 }, 400, { param: 'prompt' }],
    ['an unknown model', '/v1/completions', { ...complete, model: 'gpt' }, 404, { code: 'model_not_found', param: 'model' }],
    ['a P that the model has not', '/v1/completions', { ...complete, model: 'tiny:p3' }, 400, { param: 'parscale.p' }],
    [
      'a P that is none',
      '/v1/completions',
      { ...complete, parscale: { p: 'many' } },
      400,
      { message: 'parscale.p: Invalid input: expected a number of streams or "auto"' },
    ],
    ['an empty prompt', '/v1/completions', { ...complete, prompt: '' }, 400, { param: 'prompt' }],
    ['no prompts', '/v1/completions', { ...complete, prompt: [] }, 400, { param: 'prompt' }],
    [
      'a token that there is not',
      '/v1/completions',
      { ...complete, prompt: [1, 999] },
      400,
      { param: 'prompt', message: expect.stringContaining('999') },
    ],
    [
      'a prompt that is too long',
      '/v1/completions',
      { ...complete, prompt: 'x'.repeat(700) },
      400,
      { code: 'context_length_exceeded', message: expect.stringMatching(/600.*700/) },
    ],
    [
      'one that is far too long',
      '/v1/completions',
      { ...complete, prompt: 'x'.repeat(100_000) },
      400,
      { code: 'context_length_exceeded', message: expect.stringContaining('600') },
    ],
    [
      'a chat that is too long',
      '/v1/chat/completions',
      { ...chat, messages: [{ ...message, content: 'x'.repeat(700) }] },
      400,
      { code: 'context_length_exceeded', message: expect.stringMatching(/600.*717/) },
    ],
    ['a temperature', '/v1/completions', { ...complete, temperature: 3 }, 400, { param: 'temperature' }],
    ['too many answers', '/v1/completions', { ...complete, n: 17 }, 400, { param: 'n' }],
    ['too many texts', '/v1/completions', { ...complete, prompt: Array(200).fill('x'), n: 16 }, 400, { param: 'n' }],
    [
      'an echo with numbers, streamed',
      '/v1/completions',
      { ...complete, echo: true, logprobs: 1, stream: true },
      400,
      { param: 'stream' },
    ],
    ['too many messages', '/v1/chat/completions', { ...chat, messages: Array(5000).fill(message) }, 400, { param: 'messages' }],
    [
      'a conversation that the template has too much work with',
      '/v1/chat/completions',
      { ...chat, messages: [message, { role: 'tool', content: 'x' }] },
      400,
      { code: 'template_failed', param: 'messages', message: expect.stringContaining('stopped') },
    ],
    ['too many stops', '/v1/completions', { ...complete, stop: Array(17).fill('x') }, 400, { param: 'stop' }],
    ['an empty stop', '/v1/completions', { ...complete, stop: '' }, 400, { param: 'stop' }],
    ['a bias of no token', '/v1/completions', { ...complete, logit_bias: { 999: 1 } }, 400, { param: 'logit_bias' }],
    [
      'too many log-probabilities',
      '/v1/chat/completions',
      { ...chat, logprobs: true, top_logprobs: 21 },
      400,
      { param: 'top_logprobs' },
    ],
    [
      'an image',
      '/v1/chat/completions',
      { ...chat, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }] },
      400,
      { code: 'unsupported_value', message: expect.stringContaining('image_url') },
    ],
    [
      'tools without a template for them',
      '/v1/chat/completions',
      { ...chat, tools: [{ type: 'function', function: { name: 'f' } }] },
      400,
      { param: 'tools' },
    ],
    ...['allowed_tools', 'custom', 'web_search'].flatMap((type): typeof refused => {
      const error = { code: 'unsupported_value', param: 'tool_choice', message: expect.stringContaining(`"${type}"`) }
      return [
        [`a choice of ${type}`, '/v1/chat/completions', { ...chat, tool_choice: { type } }, 400, error],
        [`a choice of ${type} for a response`, '/v1/responses', { model: 'tiny', input: 'x', tool_choice: { type } }, 400, error],
      ]
    }),
    [
      'a choice of a function without a name',
      '/v1/chat/completions',
      { ...chat, tool_choice: { type: 'function' } },
      400,
      { param: 'tool_choice', message: expect.stringContaining('name') },
    ],
    [
      'a choice that nobody knows',
      '/v1/responses',
      { model: 'tiny', input: 'x', tool_choice: 'any' },
      400,
      { param: 'tool_choice' },
    ],
    [
      'a pattern that grammars do not know',
      '/v1/chat/completions',
      { ...chat, response_format: { type: 'regex', pattern: '(?=a)' } },
      400,
      { code: 'unsupported' },
    ],
    [
      'a memory that there is not',
      '/v1/responses',
      { model: 'tiny', input: 'x', previous_response_id: 'resp_1' },
      400,
      { param: 'previous_response_id' },
    ],
    ['dimensions', '/v1/embeddings', { model: 'tiny', input: 'x', dimensions: 2 }, 400, { param: 'dimensions' }],
    ['no model', '/v1/completions', { prompt: 'x' }, 400, { param: 'model', message: 'model: it is missing, expected string' }],
    ['no such path', '/v1/none', {}, 404, { code: 'unknown_url' }],
  ]
  it.each(refused)('%s', async (_, path, body, status, error) => {
    const response = await server.call(path, body)
    expect([response.status, await json(response)]).toMatchObject([
      status,
      { error: { type: 'invalid_request_error', ...error } },
    ])
    expect(server.app.active()).toBe(0)
    expect(server.registry.statuses[0]!.users).toBe(0)
  })

  it('is JSON, whatever type curl says it is', async () => {
    for (const type of ['application/x-www-form-urlencoded', 'text/plain'])
      expect((await server.call('/v1/completions', complete, { 'content-type': type })).status).toBe(200)
  })

  // A page of this server, of another port of this machine, of an old browser.
  it.each<Record<string, string>>([
    { origin: 'http://localhost' },
    { 'sec-fetch-site': 'same-site' },
    { referer: 'https://elsewhere.example' },
    { 'user-agent': 'Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko' },
    { 'user-agent': 'Opera/9.80 (X11; Linux x86_64) Presto/2.12.388 Version/12.16' },
  ])('is no form of a page: %j', async (headers) => {
    for (const type of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data; boundary=x']) {
      const response = await server.call('/v1/completions', complete, { 'content-type': type, ...headers })
      expect(response.status).toBe(415)
      expect((await response.json()).error.message).toContain("'content-type': 'application/json'")
    }
    expect((await server.call('/v1/completions', complete, headers)).status).toBe(200)
  })

  it('is not the brackets in a text', async () => {
    expect((await server.call('/v1/completions', { ...complete, prompt: '[{",\\"'.repeat(90) })).status).toBe(200)
  })

  it('is too large', async () => {
    server = serverApp({ limits: { bodyBytes: 100 } })
    expect((await server.call('/v1/completions', { ...complete, prompt: 'x'.repeat(200) })).status).toBe(413)
    const told = { 'content-length': '101' }
    expect((await server.call('/v1/completions', complete, told)).status).toBe(413)
  })

  it('fails one request that nobody expected to fail, tells its kind only, and reports it', async () => {
    const onError = vi.fn()
    server = serverApp({
      onError,
      constrain: () => {
        throw new Error('secret')
      },
    })
    const response = await server.call('/v1/completions', { ...complete, response_format: { type: 'json_object' } })
    expect([response.status, (await response.text()).includes('secret')]).toEqual([500, false])
    expect(onError).toHaveBeenCalledOnce()
  })
})

it('notes and reports what fails in the middle of a stream, whatever event tells of it', async () => {
  const constrain = () => {
    let steps = 0
    const all = new Uint32Array(Math.ceil(258 / 32)).fill(0xffffffff)
    return {
      allowed() {
        if (steps++ === 2) throw new Error('secret')
        return all
      },
      accept() {},
      done: false,
    }
  }
  const format = { type: 'json_object' }
  const asked = { model: 'tiny', stream: true, temperature: 0 }
  const answers: [string, object][] = [
    ['/v1/completions', { ...asked, prompt: 'A', response_format: format }],
    ['/v1/chat/completions', { ...asked, messages: [{ role: 'user', content: 'A' }], response_format: format }],
    ['/v1/responses', { ...asked, input: 'A', text: { format } }],
  ]
  for (const [path, body] of answers) {
    const onError = vi.fn()
    const { call } = serverApp({ onError, constrain })
    const response = await call(path, body)
    expect([response.status, await response.text()]).toEqual([200, expect.stringMatching(/internal_error(?!.*secret)/)])
    expect([path, records]).toMatchObject([path, [{ status: 200, error: 'internal_error' }]])
    expect(onError).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ message: 'secret' }))
  }
})

async function readEvents(response: Response) {
  const body = await response.text()
  return body
    .split('\n\n')
    .filter(Boolean)
    .map((event) => event.replace(/^data: /, ''))
}

describe('streams', () => {
  it('end with the reason, then usage where it is asked for, then [DONE]', async () => {
    const response = await server.call('/v1/completions', { ...complete, stream: true, stream_options: { include_usage: true } })
    expect(response.headers.get('content-type')).toMatch('text/event-stream')
    const events = await readEvents(response)
    expect(events.at(-1)).toBe('[DONE]')
    const chunks = events.slice(0, -1).map((event) => JSON.parse(event))
    expect(chunks.map(({ choices: [choice] }) => choice?.finish_reason)).toEqual([
      ...Array(chunks.length - 2).fill(null),
      'length',
      undefined,
    ])
    expect(chunks.map(({ choices: [choice] }) => choice?.text ?? '').join('')).toBe('CDEF')
    expect(chunks.map(({ usage }) => usage)).toEqual([
      ...Array(chunks.length - 1).fill(null),
      expect.objectContaining({ total_tokens: 6 }),
    ])
    const without = await readEvents(await server.call('/v1/completions', { ...complete, stream: true }))
    expect(without.join('')).not.toContain('usage')
  })

  it('stop before a stop string that spans tokens', async () => {
    const asked = { model: 'tiny', messages: [{ role: 'user', content: 'A' }], temperature: 0, max_tokens: 20, stop: ['BCD'] }
    // Ids go on by one: after '>' comes '?', then '@', 'A'.
    const whole = await json(await server.call('/v1/chat/completions', asked))
    expect(whole).toMatchObject({ choices: [{ message: { content: '?@A' }, finish_reason: 'stop' }] })
    const events = await readEvents(await server.call('/v1/chat/completions', { ...asked, stream: true }))
    const deltas = events.slice(0, -1).map((event) => JSON.parse(event).choices[0].delta)
    expect(deltas[0]).toEqual({ role: 'assistant', content: '' })
    expect(deltas.map(({ content }) => content ?? '').join('')).toBe('?@A')
  })

  it('end each of several texts when it ends', async () => {
    const asked = { ...complete, prompt: ['A', 'a'], stop: 'D', max_tokens: 12, stream: true }
    const events = await readEvents(await server.call('/v1/completions', asked))
    const chunks = events
      .slice(0, -1)
      .map((event) => JSON.parse(event).choices[0] as { index: number; finish_reason: string | null })
    const end = (index: number) => chunks.findIndex((chunk) => chunk.index === index && chunk.finish_reason !== null)
    expect([chunks[end(0)], chunks[end(1)]]).toMatchObject([{ finish_reason: 'stop' }, { finish_reason: 'length' }])
    expect(end(0)).toBeLessThan(end(1) - 4)
    expect(chunks.filter((chunk) => chunk.finish_reason !== null)).toHaveLength(2)
  })

  it('have the log-probabilities of the whole answer, of the token that ended it as well', async () => {
    interface Numbers {
      tokens: string[]
      token_logprobs: number[]
      top_logprobs: object[]
      text_offset: number[]
    }
    const asked = { model: 'tiny', prompt: [253], max_tokens: 9, logprobs: 1, temperature: 0 }
    const [whole] = ((await json(await server.call('/v1/completions', asked))) as unknown as { choices: { logprobs: Numbers }[] })
      .choices
    expect(whole!.logprobs.tokens.at(-1)).toBe('<end>')
    const events = (await readEvents(await server.call('/v1/completions', { ...asked, stream: true }))).slice(0, -1)
    const pieces = events.map((event) => (JSON.parse(event) as { choices: { logprobs: Numbers | null }[] }).choices[0]!.logprobs)
    const all = (key: keyof Numbers) => pieces.flatMap((piece): unknown[] => piece?.[key] ?? [])
    for (const key of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'] as const)
      expect([key, all(key)]).toEqual([key, whole!.logprobs[key]])
  })

  it('of conversations have a usage of null until the end, where it is asked for', async () => {
    const asked = { model: 'tiny', messages: [{ role: 'user', content: 'A' }], temperature: 0, max_tokens: 2, stream: true }
    const usages = async (more: object) =>
      (await readEvents(await server.call('/v1/chat/completions', { ...asked, ...more })))
        .slice(0, -1)
        .map((event) => (JSON.parse(event) as { usage?: { total_tokens: number } | null }).usage)
    const withUsage = await usages({ stream_options: { include_usage: true } })
    expect(withUsage).toEqual([...Array(withUsage.length - 1).fill(null), expect.objectContaining({ completion_tokens: 2 })])
    expect(new Set(await usages({}))).toEqual(new Set([undefined]))
  })

  it('free their rows within a step when the reader leaves, in the prompt too', async () => {
    for (const prompt of ['AB', 'x'.repeat(400)]) {
      const response = await server.call('/v1/completions', { ...complete, prompt, n: 2, max_tokens: 500, stream: true })
      const reader = response.body!.getReader()
      if (prompt === 'AB') await reader.read()
      else void reader.read().catch(() => {})
      await until(() => decoder.openRows > 0)
      await reader.cancel()
      await text.engine.turn(() => {})
      await text.engine.turn(() => {})
      expect(text.scheduler.counters.running).toBe(0)
      expect(decoder.openRows).toBe(0)
      expect(server.app.active()).toBe(0)
    }
    expect(records.map(({ error }) => error)).toEqual(['cancelled', 'cancelled'])
  })

  it('end their request though nobody ever reads', async () => {
    const response = await server.call('/v1/completions', { ...complete, stream: true })
    await response.body!.cancel()
    expect(server.app.active()).toBe(0)
    expect(server.registry.statuses[0]!.users).toBe(0)
  })
})

it('gives up an answer whose client is gone', async () => {
  const left = new AbortController()
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...complete, max_tokens: 500 }),
    signal: left.signal,
  }
  const answer = server.app.fetch(new Request('http://localhost/v1/completions', init))
  await until(() => decoder.openRows > 0)
  left.abort('a text, as listeners give it')
  await answer
  expect(server.app.active()).toBe(0)
  expect(text.scheduler.counters.running).toBe(0)
  expect(records).toMatchObject([{ error: 'cancelled' }])
})

describe('log-probabilities', () => {
  it('hold the drawn token among the best, with the same number', async () => {
    const { choices } = (await json(
      await server.call('/v1/chat/completions', {
        ...{ model: 'tiny:p4', messages: [{ role: 'user', content: 'A' }], max_tokens: 5, logprobs: true, top_logprobs: 2 },
        ...{ temperature: 2, seed: 5 },
      }),
    )) as unknown as {
      choices: {
        logprobs: { content: { token: string; logprob: number; top_logprobs: { token: string; logprob: number }[] }[] }
      }[]
    }
    const { content } = choices[0]!.logprobs
    expect(content).toHaveLength(5)
    for (const { token, logprob, top_logprobs } of content) {
      expect(top_logprobs.length).toBeGreaterThanOrEqual(2)
      expect(top_logprobs.filter((one) => one.token === token && one.logprob === logprob)).toHaveLength(1)
    }
  })

  it('of a prompt are echoed, for ids and lists as well', async () => {
    const { choices } = (await json(
      await server.call('/v1/completions', { model: 'tiny', prompt: [[65, 66], [67]], echo: true, max_tokens: 0, logprobs: 1 }),
    )) as unknown as {
      choices: { text: string; logprobs: { tokens: string[]; token_logprobs: (number | null)[]; text_offset: number[] } }[]
    }
    expect(choices.map(({ text }) => text)).toEqual(['AB', 'C'])
    const [first, second] = choices.map(({ logprobs }) => logprobs)
    expect(first).toMatchObject({ tokens: ['A', 'B'], text_offset: [0, 1] })
    expect(first!.token_logprobs).toEqual([null, expect.closeTo(1 - Math.log(Math.E + 257), 5)])
    expect(second!.token_logprobs).toEqual([null])
  })
})

it('gives the end of a text an entry of its own, so that harnesses find the last token of the prompt', async () => {
  const { choices } = (await json(
    await server.call('/v1/completions', {
      model: 'tiny',
      prompt: [65, 256],
      echo: true,
      max_tokens: 1,
      logprobs: 1,
      temperature: 0,
    }),
  )) as unknown as {
    choices: { text: string; finish_reason: string; logprobs: { tokens: string[]; token_logprobs: number[] } }[]
  }
  expect(choices[0]).toMatchObject({ text: 'A', finish_reason: 'stop', logprobs: { tokens: ['A', '<begin>', '<end>'] } })
  expect(choices[0]!.logprobs.token_logprobs).toHaveLength(3)
})

describe('streams of the model', () => {
  const p = async (body: object) =>
    ((await json(await server.call('/v1/completions', { ...complete, ...body }))).parscale as { p: number }).p

  it('are as many as the request says, by field or by name', async () => {
    expect(await p({ parscale: { p: 4 } })).toBe(4)
    expect(await p({ model: 'tiny:p1' })).toBe(1)
    expect(await p({ model: 'tiny:p1', parscale: { p: 8 } })).toBe(8)
  })

  it('become fewer as requests pile up, within the bounds of the operator', async () => {
    server = serverApp({ policy: { p: 'auto', range: [1, 4] } })
    expect(await p({})).toBe(4)
    const many = await Promise.all(Array.from({ length: 8 }, () => p({})))
    expect(Math.min(...many)).toBe(1)
    expect(await p({ model: 'tiny:auto' })).toBe(4)
    expect(await p({ parscale: { p: 8 } })).toBe(8)
    // Each text counts.
    expect(await p({ n: 8 })).toBe(1)
    expect(await p({ prompt: ['A', 'B', 'C', 'D'], n: 2 })).toBe(1)
    expect(await p({ prompt: [65, 66, 67, 68], n: 2 })).toBe(4)
  })

  it('are told with their weights and what each would have said', async () => {
    const { parscale } = await json(await server.call('/v1/completions', { ...complete, parscale: { p: 4, streams: true } }))
    // The decoder gives the next id a logit of 1, the 257 others 0.
    const logprob = expect.closeTo(1 - Math.log(Math.E + 257), 6)
    const choices = [...'CDEF'].map((token) => Array(4).fill({ id: token.charCodeAt(0), token, logprob }))
    const streams = [Array(4).fill([0.25, 0.25, 0.25, 0.25])]
    expect(parscale).toEqual({ p: 4, streams, stream_choices: [choices], token_ids: [[67, 68, 69, 70]] })
  })
})

it('keeps what a conversation has in common', async () => {
  const messages = [{ role: 'user', content: 'a long enough question' }]
  const ask = async () =>
    (await json(
      await server.call('/v1/chat/completions', { model: 'tiny', messages, max_tokens: 4, temperature: 0 }),
    )) as unknown as {
      choices: { message: { content: string } }[]
      usage: { prompt_tokens: number; prompt_tokens_details: { cached_tokens: number } }
    }
  const first = await ask()
  messages.push({ role: 'assistant', content: first.choices[0]!.message.content }, { role: 'user', content: 'and more' })
  const second = await ask()
  expect(second.usage.prompt_tokens_details.cached_tokens).toBe(first.usage.prompt_tokens + 3)
})

it('turns away what would wait too long, and says when to come again', async () => {
  server = serverApp({ limits: { queue: 3 } })
  const all = await Promise.all(
    Array.from({ length: 12 }, () => server.call('/v1/completions', { ...complete, model: 'tiny:p8' })),
  )
  const away = all.filter(({ status }) => status === 503)
  expect(away.length).toBeGreaterThan(0)
  expect(all.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(3)
  expect(away[0]!.headers.get('retry-after')).toBe('1')
  expect(await json(away[0]!)).toMatchObject({ error: { code: 'queue_full', type: 'server_error' } })
  expect(text.scheduler.counters.running).toBe(0)
})

it.each([
  ['/v1/completions', { prompt: [[65], [100]] }],
  ['/v1/completions', { prompt: [[65], [100]], stream: true }],
  ['/v1/embeddings', { input: [[70], Array.from({ length: 590 }, (_, i) => 80 + (i % 100))] }],
])('ends the other texts of a request when one fails: %s', async (path, request) => {
  // P = 8 makes 32 ids a step.
  const model = path === '/v1/embeddings' ? 'tiny:p8' : 'tiny:p1'
  decoder.brokenId = 70
  const response = await server.call(path, { model, max_tokens: 500, temperature: 0, logit_bias: { 257: -100 }, ...request })
  expect(await response.text()).toContain('"error"')
  await until(() => text.scheduler.counters.running === 0)
  expect(decoder.steps.length).toBeLessThan(12)
  expect(decoder.openRows).toBe(0)
  expect(records).toMatchObject([{ path }])
  expect(records[0]!.error).not.toBe('cancelled')
})

it('lets others in beside a request of very many texts', async () => {
  server = serverApp({ limits: { queue: 3, prompts: 200 } })
  const order: string[] = []
  const ask = (name: string, request: object) =>
    server.call('/v1/completions', { ...complete, model: 'tiny:p1', ...request }).then((response) => {
      order.push(name)
      return response.status
    })
  const many = Array.from({ length: 200 }, (_, i) => `${i}`)
  const long = ask('many', { prompt: many, max_tokens: 20 })
  await until(() => text.scheduler.counters.waiting === 200 - 16)
  const others = [ask('one', {}), ask('chat', { n: 2 })]
  await until(() => text.scheduler.counters.waiting > 200 - 16)
  // Their number is bounded all the same.
  expect(await ask('many more', { prompt: many })).toBe(503)
  expect(await Promise.all([...others, long])).toEqual([200, 200, 200])
  expect(order).toEqual(['many more', 'one', 'chat', 'many'])
  expect(await (await server.call('/metrics')).text()).toContain('parscale_requests_queued{model="tiny"} 0')
})

it('names a coding of the body that it does not read', async () => {
  const answer = await server.call('/v1/completions', complete, { 'content-encoding': 'gzip' })
  expect(answer.status).toBe(415)
  expect(await json(answer)).toMatchObject({
    error: { code: 'unsupported_content_encoding', message: expect.stringContaining('"gzip"') },
  })
  expect((await server.call('/v1/completions', complete, { 'content-encoding': 'identity' })).status).toBe(200)
})

it('turns away what more would wait for a model to be loaded than may wait, on every endpoint', async () => {
  const { app, ask, open } = loadingServer({ limits: { queue: 2 } })
  const waiting = [ask('/v1/completions', complete), ask('/tokenize', { prompt: 'AB' })]
  await until(() => app.active() === 2)
  for (const [path, body] of [
    ['/v1/completions', complete],
    ['/v1/chat/completions', { model: 'tiny', messages: [{ role: 'user', content: 'A' }] }],
    ['/v1/responses', { model: 'tiny', input: 'A' }],
    ['/v1/embeddings', { model: 'tiny', input: 'A' }],
    ['/tokenize', { prompt: 'AB' }],
    ['/models/load', { model: 'tiny' }],
  ] as const) {
    const away = await ask(path, body)
    expect([away.status, away.headers.get('retry-after')]).toEqual([503, '1'])
    expect(await json(away)).toMatchObject({ error: { code: 'queue_full' } })
  }
  expect(await (await app.fetch(new Request('http://localhost/metrics'))).text()).toContain(
    'parscale_requests_queued{model="tiny"} 2',
  )
  open()
  expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200])
})

it('lets go at once of a client that leaves while a model is being loaded', async () => {
  const { app, registry, ask, open } = loadingServer()
  const left = new AbortController()
  const gone = [
    ask('/v1/completions', { ...complete, stream: true }, left.signal),
    ask('/models/load', { model: 'tiny' }, left.signal),
  ]
  await until(() => registry.statuses[0]!.waiting === 2)
  left.abort()
  await Promise.all(gone)
  expect(records.map(({ error }) => error)).toEqual(['cancelled', 'cancelled'])
  expect([app.active(), registry.statuses[0]!.users]).toEqual([0, 0])
  // It comes in all the same, for who asks next.
  open()
  expect((await ask('/v1/completions', complete)).status).toBe(200)
})

it('turns away what would wait longer than the operator allows', async () => {
  server = serverApp({ limits: { waitMs: 1e-6 } })
  const ask = () => server.call('/v1/completions', { ...complete, model: 'tiny:p8' })
  // Two of them run; how long one takes is not known yet.
  const first = await Promise.all(Array.from({ length: 4 }, ask))
  expect(first.map(({ status }) => status)).toEqual([200, 200, 200, 200])
  const long = { ...complete, model: 'tiny:p8', max_tokens: 500, logit_bias: { 257: -100 } }
  const running = [1, 2, 3].map(() => server.call('/v1/completions', long))
  await until(() => text.scheduler.counters.running === 2 && text.scheduler.counters.waiting === 1)
  const away = await ask()
  expect(away.status).toBe(503)
  expect(Number(away.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  expect(await json(away)).toMatchObject({ error: { code: 'wait_too_long' } })
  expect((await Promise.all(running)).map(({ status }) => status)).toEqual([200, 200, 200])
  expect((await ask()).status).toBe(200)
})

it('computes a prompt once for all texts that are asked of it', async () => {
  const prompt = Array.from({ length: 100 }, (_, i) => 65 + (i % 20))
  const request = { ...complete, model: 'tiny:p1', prompt, n: 4, max_tokens: 2 }
  const { usage } = await json(await server.call('/v1/completions', request))
  expect(usage).toMatchObject({ prompt_tokens: 100, prompt_tokens_details: { cached_tokens: 0 } })
  // The others compute its last token, and all the first of their own two.
  expect(decoder.steps.flat().reduce((sum, { ids }) => sum + ids, 0)).toBe(100 + 3 + 4)
  const again = await json(await server.call('/v1/completions', request))
  expect(again.usage).toMatchObject({ prompt_tokens_details: { cached_tokens: 99 } })
})

describe('who may call', () => {
  it('says a key, but for /health', async () => {
    server = serverApp({ isKey: (key) => key === 'k' })
    expect((await server.call('/v1/models')).status).toBe(401)
    expect((await server.call('/v1/models', undefined, { authorization: 'Bearer no' })).status).toBe(401)
    expect((await server.call('/v1/models', undefined, { authorization: 'Bearer k' })).status).toBe(200)
    expect((await server.call('/v1/models', undefined, { 'x-api-key': 'k' })).status).toBe(200)
    expect((await server.call('/metrics')).status).toBe(401)
    expect((await server.call('/health')).status).toBe(200)
  })

  it('says a name that is ours', async () => {
    server = serverApp({ hosts: ['localhost'] })
    expect((await server.call('/v1/models', undefined, { host: 'localhost:8080' })).status).toBe(200)
    expect((await server.call('/v1/models', undefined, { host: 'evil.example' })).status).toBe(403)
    // Kubernetes asks a pod by its address.
    for (const probe of ['/health', '/livez'])
      expect((await server.call(probe, undefined, { host: '10.1.2.3:8080' })).status).toBe(200)
  })

  it.each<Record<string, string>>([
    { origin: 'https://elsewhere.example' },
    { origin: 'null' },
    // An image, a link.
    { 'sec-fetch-site': 'cross-site' },
  ])('is no page of another site: %j', async (headers) => {
    for (const [path, body] of [['/tokenizer_info?model=tiny'], ['/metrics'], ['/v1/completions', complete]] as const) {
      const response = await server.call(path, body, headers)
      expect([response.status, await response.json()]).toMatchObject([403, { error: { code: 'unknown_origin' } }])
    }
    expect(loads).toBe(0)
    for (const path of ['/health', '/livez']) expect((await server.call(path, undefined, headers)).status).toBe(200)
    for (const origins of [['*'], ['https://elsewhere.example']]) {
      const allowed = serverApp({ origins })
      const may = origins[0] === '*' || headers.origin === origins[0]
      expect((await allowed.call('/tokenizer_info', undefined, headers)).status).toBe(may ? 200 : 403)
    }
  })

  it('is a page of this server, whoever ends its HTTPS', async () => {
    const headers = { origin: 'https://models.example:8443', host: 'models.example:8443', 'sec-fetch-site': 'same-origin' }
    expect((await server.call('/v1/models', undefined, headers)).status).toBe(200)
    expect((await server.call('/v1/models', undefined, { 'sec-fetch-site': 'none' })).status).toBe(200)
  })

  it('comes from a page that is allowed', async () => {
    server = serverApp({ origins: ['https://page.example'], isKey: () => false })
    const ask = (origin: string) =>
      server.app.fetch(
        new Request('http://localhost/v1/models', {
          method: 'OPTIONS',
          headers: { origin, 'access-control-request-method': 'GET' },
        }),
      )
    expect((await ask('https://page.example')).headers.get('access-control-allow-origin')).toBe('https://page.example')
    expect((await ask('https://other.example')).headers.get('access-control-allow-origin')).toBe(null)
    expect(
      (await serverApp().call('/v1/models', undefined, { origin: 'https://page.example' })).headers.get(
        'access-control-allow-origin',
      ),
    ).toBe(null)
  })
})

describe('models', () => {
  it('are loaded when they are asked for, and unloaded by name', async () => {
    expect(loads).toBe(0)
    expect((await server.call('/health')).status).toBe(200)
    expect(loads).toBe(0)
    await server.call('/v1/completions', complete)
    const state = async (path: string) =>
      ((await json(await server.call(path))) as unknown as { parscale: { state: string } }).parscale.state
    expect(await state('/v1/models/tiny')).toBe('ready')
    expect(await state('/v1/models/org/other')).toBe('unloaded')
    expect((await server.call('/models/unload', { model: 'tiny' })).status).toBe(200)
    expect(await state('/v1/models/tiny')).toBe('unloaded')
    expect(text.model.isDisposed).toBe(true)
    expect((await server.call('/v1/completions', complete)).status).toBe(200)
    expect(loads).toBe(2)
  })

  it('are not unloaded under a request', async () => {
    const response = await server.call('/v1/completions', { ...complete, stream: true, max_tokens: 300 })
    expect((await server.call('/models/unload', { model: 'tiny' })).status).toBe(409)
    await response.body!.cancel()
    expect((await server.call('/models/unload', { model: 'tiny' })).status).toBe(200)
  })

  it('leave when nobody has used them for a while', async () => {
    server = serverApp({}, { idleMs: 30 })
    await server.call('/v1/completions', complete)
    await expect.poll(() => text.model.isDisposed).toBe(true)
    expect((await server.call('/v1/completions', complete)).status).toBe(200)
  })
})

it('counts what it does', async () => {
  await server.call('/v1/completions', complete)
  await server.call('/v1/nothing')
  const lines = (await (await server.call('/metrics')).text()).split('\n')
  expect(lines).toContain('parscale_generated_tokens_total{model="tiny"} 4')
  expect(lines).toContain('parscale_rows_in_use{model="tiny"} 0')
  expect(lines.find((line) => line.startsWith('# HELP parscale_requests_in_use '))).toMatch(/wait/)
  expect(lines).toContain('parscale_http_requests_total{path="/v1/completions",status="200"} 1')
  expect(lines).toContain('parscale_http_requests_total{path="other",status="404"} 1')
  expect(lines.filter((line) => /^gen_ai_server_time_to_first_token_seconds_count.* 1$/.test(line))).toHaveLength(1)
  for (const line of lines.filter(Boolean)) expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{(\w+="[^"]*",?)+\})? [\d.e+-]+)$/)
})

it('describes itself', async () => {
  const document = (await json(await server.call('/openapi.json'))) as unknown as {
    openapi: string
    paths: Record<string, { post?: { requestBody: { content: object } } }>
  }
  expect(document.openapi).toBe('3.1.0')
  // What is checked by hand says what it takes as well.
  expect(JSON.stringify(document.paths['/v1/completions'])).toContain(
    '"stop":{"anyOf":[{"anyOf":[{"type":"string"},{"type":"array","items":{"type":"string"}}]},{"type":"null"}]}',
  )
  expect(Object.keys(document.paths)).toEqual(expect.arrayContaining(['/v1/chat/completions', '/v1/models/{model}', '/health']))
  expect(JSON.stringify(document.paths['/v1/chat/completions'])).toContain('max_completion_tokens')
})

describe('how a server stands', () => {
  const look = async (path: string) => {
    const response = await server.call(path)
    const { error } = (await response.json()) as { error?: { code: string } }
    return [response.status, error?.code, response.headers.get('retry-after'), response.headers.get('connection')]
  }

  it('is told to those who probe it while it loads', async () => {
    let state: 'loading' | 'ready' = 'loading'
    server = serverApp({ state: () => state })
    expect(await look('/health')).toEqual([503, 'loading', '1', null])
    expect(await look('/livez')).toEqual([200, undefined, null, null])
    state = 'ready'
    expect(await look('/health')).toEqual([200, undefined, null, null])
  })

  it('sends everybody elsewhere once it ends, but for those whom it answers already', async () => {
    let state: 'ready' | 'ending' = 'ready'
    server = serverApp({ state: () => state })
    const stream = await server.call('/v1/completions', { ...complete, stream: true })
    state = 'ending'
    expect(await look('/health')).toEqual([503, 'server_ending', '1', 'close'])
    expect(await look('/v1/models')).toEqual([503, 'server_ending', '1', 'close'])
    expect(await look('/livez')).toEqual([200, undefined, null, 'close'])
    expect((await server.call('/v1/completions', complete)).status).toBe(503)
    expect(server.app.active()).toBe(1)
    expect(await readEvents(stream)).toContain('[DONE]')
    expect(server.app.active()).toBe(0)
  })
})
