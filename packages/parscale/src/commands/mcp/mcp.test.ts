/** `parscale mcp` as a process, asked by the protocol's official client; what the tools say against the library and the command line. */
import { cp, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { InMemoryTransport } from '@modelcontextprotocol/server'
import { scoreIds } from '@parscale/core/internal/evaluation'
import type { TextModel } from '@parscale/core/internal/generation'
import { fitLaw, lawNamed, publishedPoints } from '@parscale/core/internal/law'
import { ModelRegistry } from '@parscale/core/internal/server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../../../core/src/testing/fixtures.ts'
import { loadTextModel } from '../../load/load.ts'
import { silentProgress } from '../../terminal/io.ts'
import { runHere } from '../../testing/run-here.ts'
import { progressOf } from './progress.ts'
import { mcpServer } from './serve-tools.ts'

const main = fileURLToPath(new URL('../../testing/main.ts', import.meta.url))
const env = process.env as Record<string, string>

const silent = {
  ...{ stdout: () => {}, stderr: () => {}, isTTY: { stdout: false, stderr: false }, color: false, env },
  progress: () => silentProgress,
}

/** What is no message of the protocol ends up here. */
const errors: Error[] = []
let client: Client
let transport: StdioClientTransport
let text: TextModel
beforeAll(async () => {
  text = await loadTextModel(undefined, { threads: 1 })
  const args = ['--conditions=source', '--import', 'tsx', main, 'mcp', '--threads', '1']
  transport = new StdioClientTransport({ command: process.execPath, args, env, stderr: 'pipe' })
  client = new Client({ name: 'test', version: '1' })
  client.onerror = (error) => {
    // Where the last progress and the answer come in one piece, this client reads the answer first.
    if (!error.message.startsWith('Received a progress notification for an unknown token')) errors.push(error)
  }
  await client.connect(transport)
})
afterAll(async () => {
  await client.close()
  await text.dispose()
})

async function call(name: string, args: Record<string, unknown>, options: Parameters<Client['callTool']>[1] = {}) {
  const { content, structuredContent, isError } = await client.callTool({ name, arguments: args }, options)
  const [first] = content as { type: string; text: string }[]
  return { text: first!.text, structured: structuredContent as Record<string, never>, isError: isError === true }
}

it('offers its tools with schemas', async () => {
  const { tools } = await client.listTools()
  expect(tools.map(({ name }) => name)).toEqual(['generate', 'score', 'inspect', 'fit', 'plan'])
  for (const { inputSchema, description, annotations } of tools) {
    expect(inputSchema).toMatchObject({ type: 'object', properties: expect.any(Object) })
    expect([description!.length > 40, annotations?.readOnlyHint]).toEqual([true, true])
  }
  expect(tools[0]!.inputSchema.required).toEqual(['prompt'])
  expect(client.getServerVersion()).toMatchObject({ name: 'parscale' })
})

describe('generate', () => {
  const prompt = 'The people of the United States'

  it('writes what the library writes, and tells how far it is', async () => {
    const asked = { prompt, max_tokens: 40, temperature: 0, p: 4 }
    const seen: number[] = []
    const onprogress = ({ progress, total }: { progress: number; total?: number }) => {
      expect(total).toBe(40)
      seen.push(progress)
    }
    const { text: answer, structured } = await call('generate', asked, { onprogress })
    const expected = await text.generate(prompt, { maxTokens: 40, temperature: 0, p: 4 })
    expect(answer).toBe(expected.text)
    expect(structured).toMatchObject({ model: 'parscale-small', p: 4, newTokens: 40, finishReason: 'length' })
    expect(seen.length).toBeGreaterThan(0)
    expect([...seen].sort((a, b) => a - b)).toEqual(seen)
  })

  it('ends when the call is taken back', async () => {
    // In this process, whose model can be asked what it computed.
    const registry = new ModelRegistry([{ id: 'small', load: async () => text }])
    const io = { ...silent, signal: new AbortController().signal }
    const [own, others] = InMemoryTransport.createLinkedPair()
    await mcpServer({ models: [{ id: 'small', model: undefined }], registry, io }).connect(others)
    const here = new Client({ name: 'test', version: '1' })
    await here.connect(own)
    const asked = { prompt, max_tokens: 32_000, temperature: 1, seed: 1 }
    const whole = await text.generate(prompt, { maxTokens: 32_000, temperature: 1, seed: 1 })
    expect(whole.tokens.length).toBeGreaterThan(400)
    const before = text.scheduler.counters.generatedTokens
    const leave = new AbortController()
    const options = { signal: leave.signal, onprogress: () => leave.abort(new Error('no more')) }
    await expect(here.callTool({ name: 'generate', arguments: asked }, options)).rejects.toThrow(/no more/)
    await expect.poll(() => text.scheduler.counters.rows).toBe(0)
    expect(text.scheduler.counters.generatedTokens - before).toBeLessThan(whole.tokens.length / 2)
    await here.close()
  })

  it('says what is wrong', async () => {
    expect(await call('generate', { prompt, p: 3 })).toMatchObject({ isError: true, text: expect.stringMatching(/P = 3|no .*P/) })
    expect(await call('generate', { prompt, chat: true })).toMatchObject({
      isError: true,
      text: expect.stringMatching(/this model has no chat template/),
    })
    for (const args of [{}, { prompt, model: 'other' }, { prompt, max_token: 3 }]) {
      const refused = await call('generate', args).catch((error: Error) => ({ isError: true, text: error.message }))
      expect(refused).toMatchObject({ isError: true, text: expect.stringMatching(/prompt|model|max_token/) })
    }
  })
})

it('scores as the library does', async () => {
  const content = 'The people of the United States'
  const { structured } = await call('score', { text: content, p: 2 })
  const { logProbabilities, perplexity } = await scoreIds(text.engine, text.tokenizer.encode(content), { p: 2 })
  const { tokens, ...rest } = structured as unknown as { tokens: { text: string; logProbability: number | null }[] }
  expect(tokens.map(({ logProbability }) => logProbability)).toEqual(logProbabilities)
  expect(tokens.map((token) => token.text).join('')).toBe(content)
  expect(rest).toMatchObject({ p: 2, perplexity })
})

describe('what the command line prints with --json', () => {
  const printed = async (...args: string[]) =>
    JSON.parse((await runHere([...args, '--json'], env)).stdout) as Record<string, unknown>
  /** It is of this moment. */
  const steady = (report: Record<string, unknown>) => ({ ...report, memory: undefined })

  it('inspect, of a model that is served or a path', async () => {
    const expected = steady(await printed('inspect'))
    expect(steady((await call('inspect', {})).structured)).toEqual(expected)
    expect(steady((await call('inspect', { model: text.model.config.modelType })).structured ?? {})).not.toEqual(expected)
    const missing = await call('inspect', { model: '--p=/nowhere' })
    expect([missing.isError, missing.text]).toEqual([true, expect.stringContaining('--p=/nowhere')])
    const folder = await mkdtemp(join(tmpdir(), 'parscale-mcp-'))
    await cp(byteModel, folder, { recursive: true })
    await truncate(join(folder, 'model.safetensors'), 5000)
    const { isError, structured } = await call('inspect', { model: folder })
    expect([isError, structured]).toMatchObject([
      false,
      { problems: [{ message: expect.stringContaining('data_offsets should lie') }] },
    ])
    await rm(folder, { recursive: true })
  })

  it('plan', async () => {
    const { structured } = await call('plan', { memory: '2GiB', time_per_token: '5ms', streams: [1, 8] })
    expect(structured).toEqual(await printed('plan', '--memory', '2GiB', '--time-per-token', '5ms', '--streams', '1,8'))
    expect(await call('plan', { device: 'abacus' })).toMatchObject({ isError: true, text: expect.stringContaining('abacus') })
  })
})

it('fits as the library does', async () => {
  const points = publishedPoints('pile')
  const { structured } = await call('fit', { points: points.map(({ N, P, loss }) => ({ N, P, loss })), law: 'log', bootstrap: 0 })
  expect(structured).toMatchObject({ source: 'points', law: 'log', params: fitLaw(lawNamed('log'), points).params })
  expect(await call('fit', { points: [{ N: 1e9, P: 1, loss: 1 }] })).toMatchObject({
    isError: true,
    text: expect.stringMatching(/point/),
  })
})

it('tells nothing of a file that holds no points', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parscale-mcp-'))
  const hostile = {
    '.env': 'SECRET_KEY=hunter2\nOTHER=1',
    'config.ini': '[hunter2]\na = 1',
    'list.json': '["hunter2"]',
    'numbers.csv': 'N,P,loss\n1,1,hunter2',
  }
  for (const [name, content] of Object.entries(hostile)) {
    const file = join(folder, name)
    await writeFile(file, content)
    for (const tool of ['fit', 'plan']) {
      const { isError, text } = await call(tool, { file })
      expect([isError, text]).toEqual([true, expect.stringContaining(`${file}: expected points`)])
      expect(text).not.toMatch(/hunter2|SECRET/)
    }
  }
  const points = publishedPoints('pile').map(({ N, P, loss }) => ({ N, P, loss }))
  const good = join(folder, 'points.json')
  await writeFile(good, JSON.stringify(points))
  for (const tool of ['fit', 'plan']) {
    expect((await call(tool, { file: good })).structured).toMatchObject({ source: good })
    expect((await call(tool, { file: join(folder, 'none.csv') })).text).toMatch(/none\.csv.*no such file|none\.csv.*not exist/i)
  }
  await rm(folder, { recursive: true })
})

it.each(['-5', '1e12', 'soon'])('takes no --idle-unload of %s seconds', async (value) => {
  const { code, stderr } = await runHere(['mcp', `--idle-unload=${value}`], env)
  expect([code, stderr]).toEqual([2, expect.stringContaining('--idle-unload')])
})

it('counts on through the phases of a command', () => {
  const seen: number[] = []
  const progress = progressOf(({ progress }) => void seen.push(progress))
  const first = progress('packing')
  first.update(5, 5)
  first.end()
  const second = progress('scoring')
  second.update(0, 3)
  second.update(3, 3)
  expect(seen).toEqual([5, 8])
})

it('writes nothing but the protocol to standard output, and ends with its input', async () => {
  expect(errors).toEqual([])
  const { pid } = transport
  await client.close()
  expect(() => process.kill(pid!, 0)).toThrow(/ESRCH/)
})
