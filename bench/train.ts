/**
 * Training beside PyTorch on the CPU: the same model, weights, data and threads, in turns in one run.
 *
 *     npm run bench:train                        four sizes, P = 1, 2, 4, 8, five steps each after one to warm up
 *     npm run bench:train -- --quick             10M alone, two steps
 *     npm run bench:train -- --only 50k,1M --p 1,4,8 --sides ours,onnx,torch,compiled
 *
 *     npm run bench:train -- --streams scales --sides ours      streams by other means, which the reference does not have
 *
 * Sides: `ours` is the native runtime, `onnx` the same graphs on ONNX Runtime, `torch` PyTorch as it runs, `compiled` its torch.compile.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import type { StreamInput } from '@parscale/core/internal/model'
import { pythonEnvironment } from '../scripts/python-env.mjs'
import { type Case, casePlan, cases, writeWeights } from './train-cases.ts'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    p: { type: 'string' },
    steps: { type: 'string' },
    threads: { type: 'string', default: '2' },
    sides: { type: 'string', default: 'ours,torch' },
    streams: { type: 'string', default: 'prefix' },
    json: { type: 'boolean', default: false },
  },
})
const steps = Number(flags.steps ?? (flags.quick ? 2 : 5))
const folder = fileURLToPath(new URL('../.cache/bench-train', import.meta.url))
const weights = `${folder}/weights.safetensors`
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const ours = [process.execPath, '--import', 'tsx', '--conditions=source', here('train-ours.ts')]
const torch = [pythonEnvironment('torch'), here('train-torch.py')]
/** Each with its last argument. */
const commands = { ours: [ours, 'native'], onnx: [ours, 'onnx'], torch: [torch, 'eager'], compiled: [torch, 'compiled'] } as const
type Side = keyof typeof commands
const sides = flags.sides.split(',') as Side[]
if (!sides.includes('ours')) throw new Error('--sides: the others are measured beside ours; name it too')
for (const side of sides)
  if (!(side in commands)) throw new Error(`--sides ${side}: there are ${Object.keys(commands).join(', ')}`)
const streams = flags.streams.split(',') as StreamInput[]
if (flags.streams !== 'prefix' && sides.some((side) => side.startsWith('torch') || side === 'compiled'))
  throw new Error('--streams: PyTorch has prefixes only; take --sides ours or ours,onnx')
const sidesOf = <T>(make: (side: Side) => T): Record<Side, T> =>
  Object.fromEntries(sides.map((side) => [side, make(side)])) as Record<Side, T>

interface Message {
  readonly ms: number
  readonly loss: number
  readonly peakBytes: number
  readonly flops: number
  readonly estimatedBytes: number
  readonly flopsPerSecond: number
}

/** One side in a process of its own, so that its peak memory is its own. It answers each line with one JSON object. */
class Peer {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(side: Side, what: string) {
    const [[command, ...args], last] = commands[side]
    this.#child = spawn(command!, [...args, what, weights, flags.threads, last], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  async answer(): Promise<Message> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('a side of the bench ended early, see above')
    return JSON.parse(value)
  }

  step(): Promise<Message> {
    this.#child.stdin!.write('step\n')
    return this.answer()
  }

  end(): void {
    this.#child.stdin!.end()
  }
}

/** FLOP/s in f32 as the better of the two sides multiplies large matrices. */
async function matrixRate(): Promise<number> {
  const rates = []
  for (const side of sides) {
    const peer = new Peer(side, 'rate')
    rates.push((await peer.answer()).flopsPerSecond)
    peer.end()
  }
  return Math.max(...rates)
}

async function measure(c: Case) {
  await writeWeights(weights, casePlan(c).trainable)
  const peers = sidesOf((side) => new Peer(side, JSON.stringify(c)))
  const ready = sidesOf(() => ({}) as Message)
  for (const side of sides) ready[side] = await peers[side].answer()
  const times = sidesOf((): number[] => [])
  const peakBytes = sidesOf(() => 0)
  for (let step = 0; step <= steps; step++) {
    const losses: number[] = []
    for (const side of sides) {
      const { ms, loss, peakBytes: peak } = await peers[side].step()
      if (step > 0) times[side].push(ms)
      peakBytes[side] = peak
      losses.push(loss)
    }
    // The same weights and tokens give the same loss, up to the order of sums; so do those that the steps before have left.
    if (!(Math.max(...losses) - Math.min(...losses) < 1e-3)) throw new Error(`step ${step + 1}: losses ${losses} differ`)
  }
  for (const side of sides) peers[side].end()
  const { flops, estimatedBytes } = ready.ours
  return { ...c, flops, estimatedBytes, peakBytes, ms: sidesOf((side) => spreadOf(times[side])) }
}

mkdirSync(folder, { recursive: true })
const chosen = cases
  .map((c) => ({ ...c, streams }))
  .filter(
    ({ model, p }) =>
      (flags.quick ? model === '10M' : !flags.only || flags.only.split(',').includes(model)) &&
      (!flags.p || flags.p.split(',').map(Number).includes(p)),
  )
const rate = await matrixRate()
const load = loadavg().map((x) => x.toFixed(1))
if (!flags.json) {
  console.log(`${cpus()[0]?.model}, ${flags.threads} threads, load ${load.join(' ')}, ${(rate / 1e9).toFixed(0)} GFLOP/s in f32`)
  console.log('tokens/s at the median step [fastest], peak memory; ratio: so many times as fast are we')
}
const results: Result[] = []
for (const c of chosen) {
  results.push(await measure(c))
  if (!flags.json) console.log(show(results.at(-1)!))
}
rmSync(folder, { recursive: true })
if (flags.json) console.log(JSON.stringify({ cpu: cpus()[0]?.model, threads: flags.threads, rate, load, results }))

type Result = Awaited<ReturnType<typeof measure>>

function show(r: Result): string {
  const tokens = (ms: number) => ((r.sequences * r.tokens) / (ms / 1e3)).toFixed(0)
  const one = results.find(({ model, p }) => model === r.model && p === 1)
  const growth = one && r.p > 1 ? `, step ${(r.ms.ours.median / one.ms.ours.median).toFixed(2)} x P=1` : ''
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0)
  const all = sides.map((side) => {
    const ratio = side === 'ours' ? '' : `, ratio ${(r.ms[side].median / r.ms.ours.median).toFixed(2)}`
    return `${side} ${tokens(r.ms[side].median)} [${tokens(r.ms[side].min)}] ${megabytes(r.peakBytes[side])} MB${ratio}`
  })
  const share = ((100 * r.flops) / (r.ms.ours.median / 1e3) / rate).toFixed(0)
  return `${r.model} P=${r.p}: ${all.join('; ')}; ours ${share} % of the matrix rate, ${megabytes(r.estimatedBytes)} MB estimated${growth}`
}
