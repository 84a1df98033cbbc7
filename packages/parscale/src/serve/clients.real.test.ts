/**
 * Programs of others, unmodified: PyPI's openai; npm's openai and ai with @ai-sdk/openai-compatible, in the versions that run on Node 20 and in
 * those that need Node 22; and `ai` 7 with `parscale/ai-sdk`, as README.md has it. SmolLM2, once more with a template that has tools.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { createChatTemplate } from '@parscale/core/internal/tokenizer'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { npmEnvironment } from '../../../../scripts/npm-env.mjs'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { codeBlocks, readDocument } from '../../../../test/support/markdown.ts'
import { TextModel } from '../../../core/src/generation/index.ts'
import { loadTextModel } from '../load/load.ts'
import { runClient, runNewerClient, runOnNode22 } from './testing/clients.ts'
import { listening } from './testing/listening.ts'

const root = new URL('../../../../', import.meta.url)
const smollm2 = fileURLToPath(new URL('.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', root))
const question = 'What is the capital of France?'

/** What the model answers by our own library. */
async function answerOf(text: TextModel, maxTokens: number): Promise<string> {
  const turn = text.chat().send(question, { temperature: 0, maxTokens })
  let next = await turn.next()
  while (!next.done) next = await turn.next()
  return next.value.text
}

function withTools({ model, tokenizer }: TextModel): TextModel {
  const { renderings } = JSON.parse(readFileSync(new URL('fixtures/templates/renderings.json', root), 'utf8')) as {
    renderings: { name: string; template: string }[]
  }
  const chatTemplate = renderings.find(({ name }) => name.includes('qwen2_5.jinja'))!.template
  return new TextModel(model, tokenizer, createChatTemplate({ tokenizerJson: undefined, chatTemplate }, tokenizer))
}

let smol: TextModel
let answer: string
let server: Awaited<ReturnType<typeof listening>>
let args: string[]
beforeAll(async () => {
  smol = await loadTextModel(smollm2, { bits: 8, scheduling: { keptBytes: 64e6, promptTokensBeside: 32 } })
  answer = await answerOf(smol, 16)
  server = await listening({ smol, tooled: withTools(smol) })
  args = [server.baseURL, 'smol', 'tooled']
})
afterAll(async () => {
  await server?.stop()
  await smol.dispose()
})

const city = { city: expect.stringMatching(/^(Paris|Rome)$/) }
const ended = expect.stringMatching(/^response\.(completed|incomplete)$/)

it("PyPI's openai", async () => {
  const got = await runClient(pythonEnvironment('clients'), 'openai_client.py', args)
  expect(got).toMatchObject({
    content: answer,
    usage: { completion_tokens: got.logprobs, prompt_tokens_details: { cached_tokens: expect.any(Number) } },
    models: ['smol', 'tooled'],
    embedding: 576,
    structured: city,
    called: [['weather', city]],
    error: ['context_length_exceeded', expect.stringMatching(/8192/)],
  })
  for (const same of ['streamed', 'response', 'final']) expect(got[same]).toBe(answer)
  const events = got.events as string[]
  expect([events[0], events.at(-1)]).toEqual(['response.created', ended])
})

const versions = [
  ['of Node 20', (script: string) => runClient(process.execPath, script, args)],
  ['of Node 22', (script: string) => runNewerClient('clients', script, args)],
] as const

describe.each(versions)("npm's clients %s", (_, run) => {
  it('openai', async () => {
    const got = await run('openai-client.mjs')
    expect(got).toMatchObject({
      structured: city,
      formatted: city,
      called: [['weather', city]],
      calledInStream: got.called,
      reason: 'tool_calls',
      embeddings: [576, 576],
      models: ['smol', 'tooled'],
      error: [400, 'context_length_exceeded'],
    })
    for (const same of ['content', 'streamed', 'response', 'final']) expect(got[same]).toBe(answer)
    const events = got.events as string[]
    expect([events[0], events.at(-1)]).toEqual(['response.created', ended])
  })

  it('ai with @ai-sdk/openai-compatible', async () => {
    const got = await run('ai-client.mjs')
    const { tokens, reasons } = got as { tokens: number[]; reasons: string[] }
    expect(got).toMatchObject({
      text: answer,
      streamed: answer,
      embedding: 576,
      output: city,
      steps: ['tool-calls', 'tool-calls'],
    })
    expect((got.given as unknown[])[0]).toEqual(city)
    expect([tokens[1], reasons[1]]).toEqual([tokens[0], reasons[0]])
  })
})

it('the program of README.md, in ai 7 without a server', async () => {
  const own = await loadTextModel(smollm2)
  const expected = await answerOf(own, 8192)
  await own.dispose()
  const { code } = codeBlocks(readDocument('README.md')).find(({ code }) => code.includes("'parscale/ai-sdk'"))!
  const path = `${npmEnvironment('clients')}/readme.mjs`
  writeFileSync(path, code)
  expect(await runOnNode22(path)).toBe(expected)
})
