/** Requests of one connection, one behind the other, whose client goes away: none of them is computed on, and nothing of them stays. */
import { connect } from 'node:net'
import process from 'node:process'
import type { TextModel } from '@parscale/core/internal/generation'
import type { RequestRecord } from '@parscale/core/internal/server'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { loadTextModel } from '../load/load.ts'
import { requestText } from './testing/hostile/wire.ts'
import { listening } from './testing/listening.ts'

let small: TextModel
let server: Awaited<ReturnType<typeof listening>>
const records: RequestRecord[] = []
beforeAll(async () => {
  small = await loadTextModel(undefined, { threads: 1 })
  server = await listening({ small }, { onRequest: (record) => void records.push(record) })
})
afterAll(() => server?.close())

/** Endless, as far as the context goes. */
const asked = (stream: boolean) =>
  requestText(
    'POST',
    '/v1/completions',
    JSON.stringify({ model: 'small', prompt: 'The', max_tokens: 1900, logit_bias: { 0: -100 }, stream }),
  )
const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length

it.each([
  ['whole', 'resets the connection'],
  ['streamed', 'resets the connection'],
  ['whole', 'says that it sends no more, and resets it then'],
  ['streamed', 'says that it sends no more, and resets it then'],
])('%s answers all end when the client %s', async (kind, how) => {
  records.length = 0
  const before = timers()
  const socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  socket.resume().write(asked(kind === 'streamed').repeat(3))
  await expect.poll(() => small.scheduler.counters.running).toBe(3)
  if (how.startsWith('says')) {
    socket.end()
    // Until the server asks now and then whether it is still there.
    await expect.poll(timers).toBeGreaterThanOrEqual(before + 3)
  }
  socket.resetAndDestroy()
  await expect.poll(() => records.map(({ error }) => error)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  // No failure of the server's.
  expect(new Set(records.map(({ status }) => status))).toEqual(new Set([kind === 'streamed' ? 200 : 499]))
  await expect.poll(() => small.scheduler.counters.running).toBe(0)
  await expect.poll(timers).toBeLessThanOrEqual(before + 1)
})
