/** Clients that do not read their answer are cut off; slow ones, and those whose answer takes long to begin, are not. */
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { type Listener, listen } from './listen.ts'
import { requestText, Wire, wait } from './testing/hostile/wire.ts'

const unreadMs = 400
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
  await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce(), { timeout: 10_000 })
})

it('leaves one alone that reads a little now and then', async () => {
  cancelled.mockClear()
  const { socket } = await ask('/endless')
  for (let times = 0; times < 5; times++) {
    socket.pause()
    await wait(unreadMs / 2)
    socket.resume()
    await wait(unreadMs / 8)
  }
  expect(cancelled).not.toHaveBeenCalled()
  socket.destroy()
})

it('leaves one alone whose answer takes longer', async () => {
  const [answer] = await (await ask('/late')).answers(1)
  expect(answer).toMatchObject({ status: 200, body: 'here' })
})
