/**
 * A process or worker in the middle of a long step. `exit`: it leaves then. `stay`: it waits to be ended. `terminate`: it ends a
 * worker of its own that stays. `workers`: it has several that take a `step` each. `memory`: it asks for more than it may have.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { parentPort, Worker } from 'node:worker_threads'
import { isParscaleError } from '@parscale/core/internal'
import { NativeModel } from '../../src/index.ts'

const [path, what] = process.argv.slice(2) as [string, string]
// On any machine as long, and with as much memory for threads.
const model = new NativeModel(path, { threads: 2 })

function step(rows: readonly number[], prefix: number, count: number) {
  const tokens = rows.length * count
  return model.run({
    rows: Int32Array.from(rows),
    prefixes: new Int32Array(rows.length).fill(prefix),
    prefixScores: new Float32Array(rows.length),
    lengths: new Int32Array(rows.length),
    counts: new Int32Array(rows.length).fill(count),
    adapters: new Int32Array(rows.length),
    ids: new Int32Array(tokens).fill(65),
    cosines: new Float32Array((tokens * model.facts.headDim) / 2).fill(1),
    sines: new Float32Array((tokens * model.facts.headDim) / 2),
    wanted: new Uint8Array(tokens).fill(1, tokens - 1),
  })
}

if (what === 'memory') {
  const sizeKb = Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])
  const [row] = model.openRows(1) as [number]
  const { vocabSize, hiddenSize } = model.facts
  const large = new Float32Array(hiddenSize * Math.ceil((400 << 20) / (4 * vocabSize)))
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${sizeKb * 1024 + (200 << 20) + large.byteLength}`])
  for (const ask of [() => step([row], 0, 200_000), () => model.logits(large)]) {
    const failed = await ask().catch((error: Error) => error)
    if (failed instanceof Error) process.stdout.write(`${isParscaleError(failed) ? failed.kind : 'other'}: ${failed.message}\n`)
  }
  await step([row], 0, 1)
  process.stdout.write('goes on\n')
  process.exit(0)
}

/** A worker of Node 20 reads no TypeScript unless somebody registers it there. */
function startWorker(does: string): Worker {
  const start = `import('tsx/esm/api').then(({ register }) => (register(), import('${import.meta.url}')))`
  return new Worker(start, { eval: true, argv: [path, does] })
}
if (what === 'terminate') {
  const worker = startWorker('stay')
  const [said] = await once(worker, 'message')
  await worker.terminate()
  await step(model.openRows(1), 0, 1)
  await model.dispose()
  process.stdout.write(said === 'started' ? 'terminated\n' : `${said}\n`)
  process.exit(0)
}
if (what === 'workers') {
  const all = await Promise.all([1, 2, 3, 4].map(async () => (await once(startWorker('step'), 'message'))[0]))
  process.stdout.write(`${all.filter((bits) => bits === all[0]).length} workers agree\n`)
  process.exit(0)
}
if (what === 'step') {
  const { hidden } = await step(model.openRows(2), 0, 300)
  await model.dispose()
  parentPort!.postMessage(Buffer.from(hidden.buffer).toString('base64'))
  process.exit(0)
}

const rows = model.openRows(8)
let isOver = false
const over = () => {
  isOver = true
}
step(rows, 0, 2000).then(over, over)
setTimeout(() => {
  const said = isOver ? 'over' : 'started'
  if (what === 'exit') {
    process.stdout.write(`${said}\n`)
    process.exit(0)
  }
  parentPort!.postMessage(said)
}, 10)
