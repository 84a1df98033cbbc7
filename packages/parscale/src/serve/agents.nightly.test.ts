/**
 * Agents of others, unmodified: what they send is read, and what comes back is what they can go on with. They send thousands of tokens of
 * instructions and tools, so the model is one of random numbers with a long context, whose answers end after some tokens.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { createChatTemplate } from '@parscale/core/internal/tokenizer'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { node22, npmEnvironment } from '../../../../scripts/npm-env.mjs'
import { TextModel } from '../../../core/src/generation/index.ts'
import { writeRandomModel } from '../../../core/src/testing/random-model.ts'
import { loadTextModel } from '../load/load.ts'
import { output } from './testing/clients.ts'
import { listening } from './testing/listening.ts'

const root = new URL('../../../../', import.meta.url)
const file = (path: string) => fileURLToPath(new URL(path, root))

let folder: string
let text: TextModel
let server: Awaited<ReturnType<typeof listening>>
/** Path and status of each request. */
const records: [string, number][] = []
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-agents-'))
  const small = file('packages/parscale/models/small/')
  const { vocab_size } = JSON.parse(readFileSync(join(small, 'config.json'), 'utf8')) as { vocab_size: number }
  const model = join(folder, 'model')
  await writeRandomModel(model, {
    ...{ model_type: 'llama', hidden_act: 'silu', vocab_size, hidden_size: 16, intermediate_size: 24 },
    ...{ num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, max_position_embeddings: 131_072 },
    ...{ rms_norm_eps: 1e-6, rope_theta: 10_000, tie_word_embeddings: false },
  })
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) copyFileSync(join(small, name), join(model, name))
  const loaded = await loadTextModel(model, { threads: 1, contextTokens: 131_072 })
  const { renderings } = JSON.parse(readFileSync(file('fixtures/templates/renderings.json'), 'utf8')) as {
    renderings: { name: string; template: string }[]
  }
  const chatTemplate = renderings.find(({ name }) => name.includes('qwen2_5.jinja'))!.template
  // Every fourth token ends a text.
  const ends = Array.from({ length: vocab_size / 4 }, (_, i) => 4 * i)
  const template = createChatTemplate({ tokenizerJson: undefined, chatTemplate }, loaded.tokenizer)
  text = new TextModel(loaded.model, loaded.tokenizer, template, ends, { keptBytes: 64e6 })
  server = await listening({ random: text }, { onRequest: ({ path, status }) => void records.push([path, status]) })
})
afterAll(async () => {
  await server?.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A home of its own, with nothing of this machine's owner. */
function homeFor(name: string): { cwd: string; env: NodeJS.ProcessEnv } {
  const cwd = join(folder, name)
  mkdirSync(cwd)
  return { cwd, env: { PATH: process.env.PATH, HOME: cwd } }
}

it("OpenAI's Codex, over /v1/responses", async () => {
  const { cwd, env } = homeFor('codex')
  mkdirSync(join(cwd, '.codex'))
  writeFileSync(
    join(cwd, '.codex/config.toml'),
    `model = "random"
model_provider = "parscale"
[model_providers.parscale]
name = "parscale"
base_url = "${server.baseURL}"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
`,
  )
  records.length = 0
  const codex = join(npmEnvironment('codex'), 'node_modules/@openai/codex/bin/codex.js')
  const said = await output(
    process.execPath,
    [codex, 'exec', '--json', '--skip-git-repo-check', '--sandbox', 'read-only', 'Say hello.'],
    {
      ...{ cwd, env },
    },
  )
  const events = said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string })
  expect(records.filter(([path]) => path === '/v1/responses')).toEqual([['/v1/responses', 200]])
  expect(events.map(({ type }) => type)).toContain('turn.completed')
  expect(events.map(({ type }) => type)).not.toContain('turn.failed')
}, 300_000)

it.each([
  ['openai-completions', '/v1/chat/completions'],
  ['openai-responses', '/v1/responses'],
])(
  'pi, over %s',
  async (api, path) => {
    const { cwd, env } = homeFor(`pi-${api}`)
    mkdirSync(join(cwd, '.pi/agent'), { recursive: true })
    const models = [{ id: 'random', contextWindow: 131_072, maxTokens: 1000 }]
    const providers = { parscale: { baseUrl: server.baseURL, api, apiKey: 'none', models } }
    writeFileSync(join(cwd, '.pi/agent/models.json'), JSON.stringify({ providers }))
    records.length = 0
    const pi = join(npmEnvironment('pi'), 'node_modules/@mariozechner/pi-coding-agent/dist/cli.js')
    const args = ['--provider', 'parscale', '--model', 'random', '--mode', 'json', '--offline', '-p', 'Say hello.']
    const said = await output(node22(), [pi, ...args], { cwd, env })
    const events = said
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; message?: { role: string; stopReason?: string } })
    expect(records).toEqual([[path, 200]])
    const answers = events.filter(({ type, message }) => type === 'message_end' && message?.role === 'assistant')
    expect(answers.map(({ message }) => message?.stopReason)).toEqual(['stop'])
  },
  300_000,
)
