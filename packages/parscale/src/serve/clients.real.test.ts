/**
 * Programs of others, unmodified: PyPI's openai; npm's openai and ai with @ai-sdk/openai-compatible, in the versions that run on Node 20 and in
 * those that need Node 22; and `ai` 7 with `parscale/ai-sdk`, as README.md has it. SmolLM2, once more with a template that has tools.
 */
import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { npmEnvironment } from '../../../../scripts/npm-env.mjs'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { codeBlocks, readDocument } from '../../../../test/support/markdown.ts'
import { loadTextModel } from '../load/load.ts'
import { runClient, runNewerClient, runOnNode22 } from './testing/clients.ts'
import { answerOf, serveSmolLM2, smollm2 } from './testing/smollm2.ts'

let served: Awaited<ReturnType<typeof serveSmolLM2>>
let answer: string
let args: string[]
beforeAll(async () => {
  served = await serveSmolLM2()
  ;({ answer, args } = served)
})
afterAll(() => served?.close())

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
    large: [413, 'body_too_large'],
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
      either: city,
      steps: ['tool-calls', 'tool-calls'],
    })
    expect((got.given as unknown[])[0]).toEqual(city)
    expect([tokens[1], reasons[1]]).toEqual([tokens[0], reasons[0]])
  })
})

it('the program of README.md, in ai 7 without a server', async () => {
  const own = await loadTextModel(smollm2)
  const expected = await answerOf(own, 'Why is the sky blue?', 32)
  await own.dispose()
  const { code } = codeBlocks(readDocument('README.md')).find(({ code }) => code.includes("'parscale/ai-sdk'"))!
  const path = `${npmEnvironment('clients')}/readme.mjs`
  writeFileSync(path, code)
  expect(await runOnNode22(path)).toBe(expected)
})
