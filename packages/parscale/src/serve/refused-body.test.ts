/** Bodies that are refused before they are read: the client must be able to read why, however much of it is on its way. */
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { promisify } from 'node:util'
import { createServerApp, ModelRegistry, type ServerApp } from '@parscale/core/internal/server'
import OpenAI from 'openai'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Listener, listen } from './listen.ts'

let app: ServerApp
let listener: Listener
let port: number
beforeAll(async () => {
  const load = () => Promise.reject(new Error('nothing is loaded here'))
  app = createServerApp({ registry: new ModelRegistry([{ id: 'm', load }]) })
  listener = await listen(app, { host: '127.0.0.1', port: 0 })
  port = Number(new URL(listener.url).port)
})
afterAll(() => listener?.cut())

/** Far more than what the two sockets hold. */
const large = 50 * 2 ** 20
const body = () => JSON.stringify({ model: 'm', prompt: 'x'.repeat(large) })
const refusal = { error: { code: 'body_too_large', type: 'invalid_request_error' } }

it('is read by fetch', async () => {
  const response = await fetch(`${listener.url}/v1/completions`, { method: 'POST', body: body() })
  expect([response.status, response.headers.get('connection')]).toEqual([413, 'close'])
  expect(await response.json()).toMatchObject(refusal)
  // In pieces, without a length: it is read up to the limit before it is refused.
  const piece = new Uint8Array(2 ** 16).fill(0x20)
  let sent = 0
  const stream = new ReadableStream({
    pull(controller) {
      sent += piece.length
      if (sent > large) controller.close()
      else controller.enqueue(piece)
    },
  })
  const init = { method: 'POST', body: stream, duplex: 'half' } as RequestInit
  expect(await (await fetch(`${listener.url}/v1/completions`, init)).json()).toMatchObject(refusal)
})

it("is read by OpenAI's client", async () => {
  const client = new OpenAI({ baseURL: `${listener.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const asked = client.completions.create({ model: 'm', prompt: 'x'.repeat(large) })
  await expect(asked).rejects.toMatchObject({ status: 413, code: 'body_too_large' })
})

it.skipIf(spawnSync('curl', ['--version']).status !== 0).each([[['-H', 'expect:']], [[]]])('is read by curl %j', async (more) => {
  const args = ['-sS', '-X', 'POST', '--data-binary', '@-', ...more, `${listener.url}/v1/completions`]
  const asked = promisify(execFile)('curl', args)
  asked.child.stdin!.end(body())
  expect(JSON.parse((await asked).stdout)).toMatchObject(refusal)
})

const head = `POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${large}\r\n\r\n`

it('is read by one who reads only when all is sent', async () => {
  const socket = connect(port, '127.0.0.1')
  socket.pause()
  socket.write(head)
  const piece = Buffer.alloc(2 ** 16, 'x')
  for (let sent = 0; sent < large; sent += piece.length) if (!socket.write(piece)) await once(socket, 'drain')
  let answer = ''
  socket
    .setEncoding('utf8')
    .on('data', (text) => (answer += text))
    .resume()
  await once(socket, 'end')
  expect(answer).toMatch(/^HTTP\/1.1 413 /)
  expect(answer).toContain('body_too_large')
})

const never = 2 ** 30
it.each([
  ['sends no more', { idleMs: 100, mostMs: never }, 2000],
  ['never ends', { idleMs: never, mostMs: 500 }, 20],
])('is the last thing that one hears who %s', async (_, lingering, everyMs) => {
  const own = await listen(app, { host: '127.0.0.1', port: 0, lingering })
  const socket = connect({ port: Number(new URL(own.url).port), host: '127.0.0.1', allowHalfOpen: true })
  let answer = ''
  socket.setEncoding('utf8').on('data', (text) => (answer += text))
  // What is sent to a connection that is gone.
  socket.on('error', () => {})
  socket.write(head)
  await new Promise((resolve) => socket.once('end', resolve))
  expect(answer).toContain('body_too_large')
  const sending = setInterval(() => socket.write('x'), everyMs)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(sending)
  own.cut()
})
