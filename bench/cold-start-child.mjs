/** One start of a model in a process of its own (cold-start.ts): from compiled code, so that peaks are those of the command. */
import { performance } from 'node:perf_hooks'
import { peakMemoryBytes } from '../packages/parscale/dist/bench/peak-memory.js'
import { loadModel, loadTextModel } from '../packages/parscale/dist/load/load.js'

const [path, bits, text] = process.argv.slice(2)
const cpu = process.cpuUsage()
const began = performance.now()
let progress = 0
const options = {
  engine: 'native',
  threads: 2,
  onPack: () => progress++,
  onUnpack: () => progress++,
  ...(bits === '' ? {} : { bits: Number(bits) }),
}
const loaded = text === 'text' ? await loadTextModel(path, options) : await loadModel(path, options)
const readyMs = performance.now() - began
const { user, system } = process.cpuUsage(cpu)
process.stdout.write(
  `${JSON.stringify({ readyMs, userMs: user / 1000, systemMs: system / 1000, peakBytes: peakMemoryBytes(), progress })}\n`,
)
await (loaded.model ?? loaded).dispose?.()
await loaded.close?.()
process.exit(0)
