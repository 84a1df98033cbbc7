/** Fields of requests that change what comes out, each with what it must change. The decoder continues every byte with the next one. */
import { afterAll, describe, expect, it } from 'vitest'
import { TextModel } from '../generation/index.ts'
import { fakeEngine } from '../generation/testing/fake-decoder.ts'
import { byteTokenizerFiles } from '../tokenizer/byte-tokenizer.ts'
import { createChatTemplate, createTokenizer } from '../tokenizer/index.ts'
import { createServerApp, ModelRegistry } from './index.ts'

/** The prompt opens the reasoning, as that of several families does. */
const chatTemplate =
  '{% for m in messages %}<{{ m.role }}>{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant><think>{% endif %}'
const files = { ...byteTokenizerFiles(['<begin>', '<end>']), chatTemplate }
const tokenizer = createTokenizer(files)
const load = async () => {
  const { engine } = fakeEngine({ ragged: true, p: [8], vocabSize: 258, context: 600 })
  return new TextModel(engine.model, tokenizer, createChatTemplate(files, tokenizer), [], { maxRows: 16 })
}
const registry = new ModelRegistry([{ id: 'tiny', load }])
const app = createServerApp({ registry })
afterAll(() => registry.close())

const call = async (path: string, body: object) =>
  await app.fetch(new Request(`http://localhost${path}`, { method: 'POST', body: JSON.stringify({ model: 'tiny', ...body }) }))
const answer = async (path: string, body: object) => {
  const response = await call(path, body)
  expect(response.status).toBe(200)
  return await response.json()
}

/** A logit is 1 for the byte that is next, 0 for all others, and what these fields add. */
const greedy: [string, object, string][] = [
  ['no field', {}, 'CDEF'],
  ['logit_bias', { logit_bias: { 67: 1.5 } }, 'CCCC'],
  ['presence_penalty, once for a token that came', { logit_bias: { 67: 1.5 }, presence_penalty: 1 }, 'CDEF'],
  ['presence_penalty, no more for one that came often', { logit_bias: { 67: 1.5 }, presence_penalty: 0.2 }, 'CCCC'],
  ['frequency_penalty, each time', { logit_bias: { 67: 1.5 }, frequency_penalty: 0.2 }, 'CCCD'],
  ['repetition_penalty, for the prompt as well', { prompt: 'CAB', logit_bias: { 90: 0.6 }, repetition_penalty: 2 }, 'Z[\\]'],
  ['repetition_penalty of 1', { prompt: 'CAB', logit_bias: { 90: 0.6 }, repetition_penalty: 1 }, 'CDEF'],
]
it.each(greedy)('%s', async (_, fields, text) => {
  const asked = { prompt: 'AB', max_tokens: 4, temperature: 0, ...fields }
  expect(await answer('/v1/completions', asked)).toMatchObject({ choices: [{ text }] })
})

describe('at a high temperature', () => {
  const drawn = async (fields: object) => {
    const asked = { prompt: 'AB', max_tokens: 12, temperature: 2, seed: 7, logit_bias: { 256: -100, 257: -100 }, ...fields }
    const { choices } = (await answer('/v1/completions', asked)) as { choices: { text: string }[] }
    return choices[0]!.text
  }
  it('any byte may come', async () => {
    expect(await drawn({})).not.toBe('CDEFGHIJKLMN')
    expect(await drawn({ top_k: 258, top_p: 1, min_p: 0 })).toBe(await drawn({}))
  })
  it.each([{ top_k: 1 }, { top_p: 0.001 }, { top_p: 0 }, { min_p: 0.9 }])('the most probable one with %j', async (fields) => {
    expect(await drawn(fields)).toBe('CDEFGHIJKLMN')
  })
})

it('a developer is the system', async () => {
  const ids = async (role: string) =>
    ((await answer('/tokenize', { messages: [{ role, content: 'Be brief.' }] })) as { tokens: number[] }).tokens
  expect(await ids('developer')).toEqual(await ids('system'))
  expect(await ids('user')).not.toEqual(await ids('system'))
  expect(tokenizer.decode(await ids('system'))).toBe('<system>Be brief.<assistant><think>')
})

it('tokens come with their texts', async () => {
  expect(await answer('/tokenize', { prompt: 'Aé', return_token_strs: true })).toMatchObject({
    tokens: [65, 0xc3, 0xa9],
    token_strs: ['A', '<0xC3>', '<0xA9>'],
  })
})

it('a place in the queue is told to each', async () => {
  const asked = { prompt: 'AB', max_tokens: 4, parscale: { p: 8 } }
  const all = await Promise.all(Array.from({ length: 4 }, () => call('/v1/completions', asked)))
  expect(all.map(({ headers }) => headers.get('x-queue-position')).toSorted()).toEqual(['0', '1', '2', '3'])
})

describe('reasoning, under both names in use', () => {
  const form = { response_format: { type: 'regex', pattern: 'Well\\.</think>Yes\\.' }, temperature: 0 }
  const asked = { messages: [{ role: 'user', content: 'Is it?' }], max_completion_tokens: 40, ...form }
  it('whole', async () => {
    const message = { content: 'Yes.', reasoning_content: 'Well.', reasoning: 'Well.' }
    expect(await answer('/v1/chat/completions', asked)).toMatchObject({ choices: [{ message, finish_reason: 'stop' }] })
  })
  it('in a stream', async () => {
    const text = await (await call('/v1/chat/completions', { ...asked, stream: true })).text()
    const deltas = [...text.matchAll(/^data: (\{.*)$/gm)].map(
      ([, json]) => (JSON.parse(json!) as { choices: { delta: Record<string, string> }[] }).choices[0]!.delta,
    )
    const all = (name: string) => deltas.map((delta) => delta[name] ?? '').join('')
    expect(['content', 'reasoning_content', 'reasoning'].map(all)).toEqual(['Yes.', 'Well.', 'Well.'])
  })
})
