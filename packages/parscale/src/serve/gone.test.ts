/** Clients that go away while their prompt is read or their answer written: rows and bytes of the cache come back. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { requestText, Wire } from './testing/hostile/wire.ts'
import { type ServerProcess, startServer } from './testing/server-process.ts'

let server: ServerProcess
beforeAll(async () => {
  // Prompts in small pieces: there is time to go in the middle of one.
  server = await startServer(['--p', '2', '--keep-mb', '0', '--chunk', '8', '--max-queue', '400', '--no-log'])
})
afterAll(() => server?.kill())

/** Of all that clients can leave behind, and how far the server is. */
async function counters() {
  const names = ['rows_in_use', 'cache_bytes', 'requests_running', 'requests_queued', 'requests_in_use', 'steps_total'] as const
  const values = await server.metrics(names.map((name) => `parscale_${name}`))
  const { parscale_steps_total: steps, ...held } = values
  return { held, steps: steps! }
}

const nothing = {
  parscale_rows_in_use: 0,
  parscale_cache_bytes: 0,
  parscale_requests_running: 0,
  parscale_requests_queued: 0,
  parscale_requests_in_use: 0,
}

const ways = {
  'a reset': (wire: Wire) => wire.socket.resetAndDestroy(),
  'both ends closed': (wire: Wire) => wire.socket.destroy(),
  'half its answer read': (wire: Wire) => {
    wire.socket.pause()
    wire.socket.destroySoon()
  },
} as const

const rounds = 6
const clients = 1000 / rounds / 2

it.each(['prefill', 'decode'] as const)('500 in %s', async (phase) => {
  const prompt = phase === 'prefill' ? 'The people of the '.repeat(100) : 'The people'
  const fields = { model: 'parscale-small', prompt, max_tokens: 300, logit_bias: { 0: -100 } }
  for (let round = 0; round < rounds; round++) {
    const wires = await Promise.all(
      Array.from({ length: Math.ceil(clients) }, async (_, i) => {
        const wire = await Wire.open(Number(new URL(server.url).port))
        await wire.send(requestText('POST', '/v1/completions', JSON.stringify({ ...fields, stream: i % 2 === 0 })))
        return wire
      }),
    )
    await expect.poll(async () => (await counters()).held.parscale_rows_in_use).toBeGreaterThan(8)
    const kinds = Object.values(ways)
    for (const [i, wire] of wires.entries()) kinds[(i + round) % kinds.length]!(wire)
    await expect.poll(async () => (await counters()).held).toEqual(nothing)
  }
  expect(server.output.stderr).not.toMatch(/Error|Warning/)
})

it('frees the rows of one within a step, while others go on', async () => {
  const port = Number(new URL(server.url).port)
  const text = requestText(
    'POST',
    '/v1/completions',
    JSON.stringify({ model: 'parscale-small', prompt: 'The', max_tokens: 500, stream: true, logit_bias: { 0: -100 } }),
  )
  const [stays, goes] = [await Wire.open(port), await Wire.open(port)]
  await Promise.all([stays.send(text), goes.send(text)])
  await expect.poll(async () => (await counters()).held.parscale_rows_in_use).toBe(4)
  goes.socket.resetAndDestroy()
  let seen = await counters()
  for (; seen.held.parscale_rows_in_use! > 2; seen = await counters());
  expect(seen.held).toMatchObject({ parscale_rows_in_use: 2, parscale_requests_running: 1 })
  const [answer] = await stays.answers(1)
  expect(answer?.body).toMatch(/"finish_reason":"length"[\s\S]*\[DONE\]\s*$/)
  await expect.poll(async () => (await counters()).held).toEqual(nothing)
})

it('answers one that only says that it sends no more', async () => {
  const wire = await Wire.open(Number(new URL(server.url).port))
  await wire.send(
    requestText('POST', '/v1/completions', JSON.stringify({ model: 'parscale-small', prompt: 'The', max_tokens: 40 })),
  )
  wire.socket.end()
  const [answer] = await wire.answers(1)
  expect([answer?.status, JSON.parse(answer?.body ?? '{}')]).toMatchObject([200, { object: 'text_completion' }])
})
