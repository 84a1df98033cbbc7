import { expect, it } from 'vitest'
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
  // The real program, whose network fails long after the time in which it had to speak.
  const { fetch } = globalThis
  globalThis.fetch = () => new Promise((_, reject) => setTimeout(() => reject(new TypeError('late')), 1500))
  try {
    const worker = workerOf((port) => servePort(port as unknown as Port))
    await expect(loadInWorker(worker, options, 1000)).rejects.toThrow(/cannot be reached \(late\)/)
  } finally {
    globalThis.fetch = fetch
  }
})

it('sends what is wrong with a model, whatever was found in it', () => {
  const sent = sendError(checkpointError('the header is too long', { found: { length: 2n ** 63n } }))
  expect(receiveError(structuredClone(sent))).toMatchObject({ kind: 'checkpoint', message: 'the header is too long' })
})
