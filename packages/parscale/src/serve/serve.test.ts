/** `parscale serve` as a process: where it listens, to whom, and how it ends. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request as http } from 'node:http'
import { request } from 'node:https'
import { connect } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shippedModel } from '../package-files.ts'
import { runHere } from '../testing/run-here.ts'
import { nameModels } from './model-names.ts'
import { selfSigned } from './testing/certificates.ts'
import { Wire } from './testing/hostile/wire.ts'
import { killServers, type ServerProcess, startServer } from './testing/server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-serve-'))
/** Of all tests that leave it as it is: starting one takes a second or two. */
let shared: ServerProcess
beforeAll(async () => {
  const models = [`parscale-small=${shippedModel}`, `other=${shippedModel}`]
  shared = await startServer([...models, '--pin', 'parscale-small', '--max-body', '1', '--allow-host', 'models.local'])
})
afterAll(() => {
  killServers()
  rmSync(folder, { recursive: true })
})

/** The command where it ends by itself. */
const here = (args: readonly string[]) => runHere(args, process.env)

const body = (more: object = {}) => ({
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({
    model: 'parscale-small',
    prompt: 'The people',
    max_tokens: 3,
    temperature: 0,
    logit_bias: { 0: -100 },
    ...more,
  }),
})

it('ends with the fault where its first model cannot be loaded', async () => {
  await expect(startServer([join(folder, 'nope')])).rejects.toThrow(/nope: there is no such file or folder/)
})

it('reads a body in chunks, cuts its answer when the client goes, and refuses one that is too long or not there', async () => {
  const { output, url } = shared
  const chunks = (text: string) =>
    new ReadableStream<Uint8Array>({
      start(controller) {
        for (const half of [text.slice(0, 10), text.slice(10)]) controller.enqueue(new TextEncoder().encode(half))
        controller.close()
      },
    })
  const post = (text: string, more: RequestInit = {}) =>
    fetch(`${url}/v1/completions`, { ...body(), body: chunks(text), duplex: 'half', ...more } as RequestInit)
  expect((await post(body().body)).status).toBe(200)
  expect((await fetch(`${url}/v1/completions`, { ...body(), body: null })).status).toBe(400)
  expect((await fetch(`${url}/v1/completions`, { method: 'PUT' })).status).toBe(405)
  const gone = new AbortController()
  const stream = await post(body({ stream: true, max_tokens: 500 }).body, { signal: gone.signal })
  await stream.body!.getReader().read()
  gone.abort()
  await expect.poll(() => output.stdout).toContain('"error":"cancelled"')
  const refused = await post(body({ prompt: 'x'.repeat(1.1e6) }).body)
  expect([refused.status, refused.headers.get('connection')]).toEqual([413, 'close'])
  expect(output.stderr).not.toContain('TypeError')
})

it('answers, logs a line for each request without its text, and ends answers under way on SIGTERM', async () => {
  const endsWhileItStreams = async () => {
    const server = await startServer(['--p', '2'])
    expect(server.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    const answer = (await (await fetch(`${server.url}/v1/completions`, body())).json()) as { parscale: { p: number } }
    expect(answer.parscale.p).toBe(2)
    const stream = await fetch(`${server.url}/v1/completions`, body({ stream: true, max_tokens: 500 }))
    server.child.kill('SIGTERM')
    expect(await stream.text()).toMatch(/"finish_reason":"length"[\s\S]*\[DONE\]\s*$/)
    expect(await server.ended).toBe(0)
    return server.output
  }
  let output = await endsWhileItStreams()
  // A busy machine may bring the signal when the answer is over: then once more.
  for (let tries = 0; tries < 10 && !output.stderr.includes('are under way'); tries++) output = await endsWhileItStreams()
  expect(output.stderr).toContain('1 requests are under way')
  const lines = output.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  expect(lines).toMatchObject([
    { path: '/v1/completions', status: 200, model: 'parscale-small', p: 2, completion_tokens: 3 },
    { path: '/v1/completions', status: 200, completion_tokens: 500 },
  ])
  expect(output.stdout).not.toContain('people')
})

it('takes a body in chunks, and answers methods that it has not', async () => {
  const { url, output } = shared
  const chunks = new Blob([body().body]).stream()
  const chunked = await fetch(`${url}/v1/completions`, { ...body(), body: chunks, duplex: 'half' } as RequestInit)
  expect([chunked.status, await chunked.json()]).toMatchObject([200, { object: 'text_completion' }])
  for (const method of ['OPTIONS', 'DELETE', 'PATCH']) {
    const response = await fetch(`${url}/v1/completions`, { method })
    const expected = [method, 405, 'POST', { error: { code: 'method_not_allowed' } }]
    expect([method, response.status, response.headers.get('allow'), await response.json()]).toMatchObject(expected)
  }
  expect(output.stderr).not.toContain('TypeError')
  // Fetch sends no such Host.
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () =>
      socket.write('GET /health HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'),
    )
    let text = ''
    socket
      .on('data', (data) => (text += data))
      .on('close', () => resolve(text))
      .on('error', reject)
  })
  expect(answer).toMatch(/^HTTP\/1\.1 400 [\s\S]*"type":"invalid_request_error".*"code":"invalid_request"/)
})

it('cuts what takes longer than it may', async () => {
  const { child, output, ended, url } = await startServer(['--drain', '0.01'])
  const streams = await Promise.all(
    Array.from({ length: 8 }, () => fetch(`${url}/v1/completions`, body({ stream: true, max_tokens: 500, parscale: { p: 8 } }))),
  )
  const texts = Promise.allSettled(streams.map((stream) => stream.text()))
  child.kill('SIGTERM')
  expect(await ended).toBe(0)
  await texts
  expect(output.stdout).toContain('"error":"cancelled"')
})

it('does not wait for connections that say nothing, or half a request, when it ends', async () => {
  const { cert, key } = selfSigned(folder, 'silent')
  for (const flags of [[], ['--tls-cert', cert, '--tls-key', key]]) {
    const { child, ended, url } = await startServer(['--drain', '600', ...flags])
    for (const said of ['', 'GET /health HTTP/1.1\r\nHost: loc']) {
      const silent = await Wire.open(Number(new URL(url).port))
      if (said) await silent.send(said)
    }
    child.kill('SIGTERM')
    // Far less than --drain.
    expect(await ended).toBe(0)
  }
})

it('goes on where a model without an end of text is asked for a form', async () => {
  const endless = join(folder, 'endless')
  cpSync(shippedModel, endless, { recursive: true })
  const change = (file: string, more: object) => {
    const path = join(endless, file)
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...more }))
  }
  for (const file of ['config.json', 'generation_config.json']) change(file, { eos_token_id: undefined })
  change('tokenizer_config.json', { eos_token: undefined })
  const { url } = await startServer([`parscale-small=${endless}`])
  const ask = (more: object) => fetch(`${url}/v1/completions`, body(more))
  // The first is compiled longer than the tree of tokens is made.
  for (const format of [{ type: 'regex', pattern: '(a|b)*a(a|b){11}' }, { type: 'json_object' }]) {
    const refused = await ask({ response_format: format })
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('a token that ends the text')])
  }
  expect((await ask({})).status).toBe(200)
})

it('lists its models for `parscale ps`', async () => {
  const { url } = shared
  const { stdout } = await here(['ps', '--url', url])
  expect(stdout).toMatch(/^NAME +STATE[\s\S]*\nparscale-small +ready, pinned +1 2 4 8[\s\S]*\nother +unloaded/)
  const none = await here(['ps', '--url', 'http://127.0.0.1:1'])
  expect([none.code, none.stderr]).toEqual([
    1,
    'parscale: there is no server at http://127.0.0.1:1; start one with: parscale serve\n',
  ])
})

describe('who may connect', () => {
  it('is this machine alone where there are no keys', async () => {
    const { code, stderr } = await here(['serve', '--host', '0.0.0.0', '--port', '0'])
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining('--host 0.0.0.0: whoever can reach this address could use the server'),
    ])
  })

  it('has a key of the file or of the environment', async () => {
    const file = join(folder, 'keys')
    writeFileSync(file, '# two\nfirst-key\n\nsecond-key\n')
    const { url } = await startServer(['--host', '0.0.0.0', '--api-key-file', file], {
      env: { PARSCALE_API_KEY: 'third-key' },
    })
    const status = async (key?: string) =>
      (
        await fetch(
          `${url.replace('0.0.0.0', '127.0.0.1')}/v1/models`,
          key === undefined ? {} : { headers: { authorization: `Bearer ${key}` } },
        )
      ).status
    expect([await status('first-key'), await status('second-key'), await status('third-key')]).toEqual([200, 200, 200])
    expect([await status(), await status('first-ke'), await status('# two')]).toEqual([401, 401, 401])
    for (const [text, message] of [
      ['\n', 'there is no key in it'],
      ['a b\n', 'printable ASCII'],
    ] as const) {
      writeFileSync(file, text)
      expect((await here(['serve', '--api-key-file', file])).stderr).toContain(message)
    }
  })

  const statusOf = (url: string, headers: Record<string, string>, path = '/v1/models') =>
    new Promise<number>((resolve, reject) => {
      http({ hostname: '127.0.0.1', port: new URL(url).port, path, headers }, (response) =>
        resolve(response.resume().statusCode!),
      )
        .on('error', reject)
        .end()
    })

  it('calls it by its name', async () => {
    const status = (host: string) => statusOf(shared.url, { host })
    const { port } = new URL(shared.url)
    const names = [`localhost:${port}`, 'models.local', 'evil.example']
    expect(await Promise.all(names.map(status))).toEqual([200, 200, 403])
  })

  it('calls it by a further name or one of its own, where it is reached from elsewhere', async () => {
    const flags = ['--host', '0.0.0.0', '--allow-host', 'models.local']
    const { url } = await startServer(flags, { env: { PARSCALE_API_KEY: 'the-key' } })
    const status = (host: string, path?: string) => statusOf(url, { host, authorization: 'Bearer the-key' }, path)
    const names = ['127.0.0.1', 'localhost', hostname(), 'models.local', 'evil.example']
    expect(await Promise.all(names.map((name) => status(name)))).toEqual([200, 200, 200, 200, 403])
    expect(await status('10.1.2.3:8080', '/health')).toBe(200)
  })

  it('speaks TLS where there is a certificate', async () => {
    const { cert, key } = selfSigned(folder, 'localhost')
    const { url } = await startServer(['--tls-cert', cert, '--tls-key', key])
    expect(url).toMatch(/^https:/)
    const status = await new Promise((resolve, reject) => {
      request(`${url}/health`, { rejectUnauthorized: false }, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end()
    })
    expect(status).toBe(200)
    expect((await here(['serve', '--tls-cert', cert])).stderr).toContain('--tls-cert and --tls-key belong together')
  })
})

it('names models as requests call them', () => {
  expect(nameModels([])).toEqual([{ id: 'parscale-small', model: undefined }])
  expect(nameModels(['a=./x', './models/chat/', './q.Q4_0.gguf', 'ORG/NAME', 'b=ORG/NAME'])).toEqual([
    { id: 'a', model: './x' },
    { id: 'chat', model: './models/chat/' },
    { id: 'q.Q4_0', model: './q.Q4_0.gguf' },
    { id: 'ORG/NAME', model: 'ORG/NAME' },
    { id: 'b', model: 'ORG/NAME' },
  ])
  expect(() => nameModels(['./a/x', './b/x'])).toThrow('two models are named x; name one with NAME=./b/x')
})

it('refuses a port that is taken, and names that there are not', async () => {
  const { url } = shared
  const taken = await here(['serve', '--port', new URL(url).port])
  expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining('is taken; choose another with --port')])
  const pin = await here(['serve', '--pin', 'none'])
  expect([pin.code, pin.stderr]).toEqual([2, expect.stringContaining('--pin none: there is no model of this name')])
})
