/**
 * A process or worker in the middle of a long step. `exit`: it leaves then. `stay`: it waits to be ended. `terminate`: it ends a
 * worker of its own that stays. `memory`: it asks for more than it may have.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { parentPort, Worker } from 'node:worker_threads'
import { isParscaleError } from '@parscale/core'
import { NativeModel } from '../../src/index.ts'

const [path, what] = process.argv.slice(2) as [string, string]
const model = new NativeModel(path)

function step(rows: readonly number[], prefix: number, count: number) {
  const tokens = rows.length * count
  return model.step({
    rows: Int32Array.from(rows),
    prefixes: new Int32Array(rows.length).fill(prefix),
    prefixScores: new Float32Array(rows.length),
    lengths: new Int32Array(rows.length),
    counts: new Int32Array(rows.length).fill(count),
    ids: new Int32Array(tokens).fill(65),
    cosines: new Float32Array((tokens * model.facts.headDim) / 2).fill(1),
    sines: new Float32Array((tokens * model.facts.headDim) / 2),
    wanted: new Uint8Array(tokens),
  })
}

if (what === 'memory') {
  const sizeKb = Number(/VmSize:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])
  const row = model.openRow()
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${sizeKb * 1024 + (200 << 20)}`])
  try {
    await step([row], 0, 200_000)
  } catch (error) {
    process.stdout.write(`${isParscaleError(error) ? error.kind : 'other'}: ${(error as Error).message}\n`)
  }
  process.exit(0)
}
if (what === 'terminate') {
  // A worker of Node 20 reads no TypeScript unless somebody registers it there.
  const start = `import('tsx/esm/api').then(({ register }) => (register(), import('${import.meta.url}')))`
  const worker = new Worker(start, { eval: true, argv: [path, 'stay'] })
  await new Promise((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  await worker.terminate()
  await step([model.openRow()], 0, 1)
  await model.dispose()
  process.stdout.write('terminated\n')
  process.exit(0)
}

const rows = Array.from({ length: 8 }, () => model.openRow())
step(rows, 0, 2000).catch(() => {})
setTimeout(() => {
  if (what === 'exit') {
    process.stdout.write('started\n')
    process.exit(0)
  }
  parentPort!.postMessage('started')
}, 100)
