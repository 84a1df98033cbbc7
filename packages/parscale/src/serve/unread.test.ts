/** Clients that do not read their answer are cut off; slow ones, and those whose answer takes long to begin, are not. */
import { once } from 'node:events'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type Listener, listen } from './listen.ts'
import { requestText, Wire, wait } from './testing/hostile/wire.ts'

const unreadMs = 1000
const cancelled = vi.fn()
let listener: Listener
beforeAll(async () => {
  const fetch = async ({ url }: Request) => {
    if (url.includes('late')) await wait(3 * unreadMs)
    if (!url.includes('endless')) return new Response('here')
    const piece = new Uint8Array(2 ** 16)
    return new Response(
      new ReadableStream({ pull: (controller) => controller.enqueue(piece), cancel: cancelled }, { highWaterMark: 0 }),
      { headers: { 'content-type': 'text/event-stream' } },
    )
  }
  listener = await listen({ fetch }, { host: '127.0.0.1', port: 0, unreadMs })
})
afterAll(() => listener?.cut())

const ask = async (path: string) => {
  const wire = await Wire.open(Number(new URL(listener.url).port))
  await wire.send(requestText('GET', path))
  return wire
}

it.each(['/endless', '/late-endless'])('cuts off one that reads nothing, and ends what is made for it (%s)', async (path) => {
  cancelled.mockClear()
  const wire = await ask(path)
  wire.socket.pause()
  await expect.poll(() => cancelled.mock.calls.length).toBe(1)
})

it('leaves one alone that reads a little now and then', async () => {
  for (let tries = 0; ; tries++) {
    expect(tries).toBeLessThan(20)
    cancelled.mockClear()
    const { socket } = await ask('/endless')
    let longest = 0
    for (let times = 0; times < 6 && !socket.closed; times++) {
      socket.pause()
      const paused = performance.now()
      await wait(unreadMs / 4)
      socket.resume()
      await Promise.race([once(socket, 'data'), once(socket, 'close')])
      longest = Math.max(longest, performance.now() - paused)
      await wait(unreadMs / 16)
    }
    const isCut = cancelled.mock.calls.length > 0
    socket.destroy()
    // On a busy machine, pauses may be too long: then once more.
    if (longest > unreadMs / 2) continue
    expect(isCut).toBe(false)
    break
  }
})

it('leaves one alone whose answer takes longer', async () => {
  const [answer] = await (await ask('/late')).answers(1)
  expect(answer).toMatchObject({ status: 200, body: 'here' })
})
