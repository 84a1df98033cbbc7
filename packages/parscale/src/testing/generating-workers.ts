/** Workers that generate without end: the program of load/workers.test.ts. `ENGINE terminate|stop` */
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { loadTextModel } from '../index.ts'
import type { EngineChoice } from '../load/decode-engine.ts'

/** A worker of Node 20 reads no TypeScript unless somebody registers it there. */
const start = `import('tsx/esm/api').then(({ register }) => (register(), import('${import.meta.url}')))`

if (isMainThread) {
  const [engine, how] = process.argv.slice(2)
  for (let i = 0; i < 2; i++) {
    await new Promise<unknown>((done) => {
      const worker = new Worker(start, { eval: true, workerData: engine })
      const end = () => (how === 'terminate' ? void worker.terminate() : worker.postMessage('stop'))
      worker.on('message', () => setTimeout(end, 20 + 7 * i))
      worker.on('error', (error) => {
        throw error
      })
      worker.on('exit', done)
    })
  }
  process.stdout.write('survived\n')
} else {
  // docs/library.md, "Workers": whoever owns the worker asks; the worker ends its work, frees the model and leaves.
  const stop = new AbortController()
  parentPort!.on('message', () => stop.abort())
  const model = await loadTextModel(undefined, { engine: workerData as EngineChoice, threads: 1 })
  try {
    await model.generate('The whale', { maxTokens: 2 })
    parentPort!.postMessage('up')
    while (!stop.signal.aborted) await model.generate('The whale', { maxTokens: 100, signal: stop.signal })
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    await model.dispose()
    parentPort!.close()
  }
}
