import { expect, it, vi } from 'vitest'
import { checkpointError } from '../../errors.ts'
import { receiveError, sendError } from './messages.ts'
import { loadInWorker } from './remote-model.ts'
import { type Port, servePort } from './serve-port.ts'

/** A worker whose program is in this thread. */
function workerOf(program: (port: MessagePort) => void) {
  const { port1, port2 } = new MessageChannel()
  program(port2)
  port1.start()
  port2.start()
  const terminate = () => port1.close()
  return Object.assign(port1, { terminate }) as unknown as Worker
}

const options = { source: { url: 'http://127.0.0.1:9/' } }

it('gives up a worker that says nothing, with a sentence', async () => {
  const silent = workerOf(() => {})
  await expect(loadInWorker(silent, options, 50)).rejects.toMatchObject({
    kind: 'unsupported',
    message: expect.stringMatching(/^the worker said nothing for 0\.05 s; it has to be the program @parscale\/core\/web\/worker/),
  })
})

it('does not give up a worker that runs, however long it loads', async () => {
  // The real program, whose network fails when the clock by which it had to speak is off already.
  const [set, clear] = [vi.spyOn(globalThis, 'setTimeout'), vi.spyOn(globalThis, 'clearTimeout')]
  const { fetch } = globalThis
  let fail = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = () => reject(new TypeError('late'))
  })
  const asked = new Promise<void>((resolve) => {
    globalThis.fetch = () => {
      resolve()
      return failed
    }
  })
  try {
    const worker = workerOf((port) => servePort(port as unknown as Port))
    const loading = loadInWorker(worker, options, 123_456)
    const running = new Promise((resolve) =>
      worker.addEventListener('message', ({ data }) => data.type === 'running' && resolve(undefined)),
    )
    await Promise.all([running, asked])
    const timer = set.mock.results[set.mock.calls.findIndex(([, ms]) => ms === 123_456)]!.value
    expect(clear.mock.calls).toContainEqual([timer])
    fail()
    await expect(loading).rejects.toThrow(/cannot be reached \(late\)/)
  } finally {
    globalThis.fetch = fetch
    for (const spy of [set, clear]) spy.mockRestore()
  }
})

it('sends what is wrong with a model, whatever was found in it', () => {
  const sent = sendError(checkpointError('the header is too long', { found: { length: 2n ** 63n } }))
  expect(receiveError(structuredClone(sent))).toMatchObject({ kind: 'checkpoint', message: 'the header is too long' })
})
