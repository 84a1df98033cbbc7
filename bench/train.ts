/**
 * Training beside PyTorch on the CPU: the same model, weights, data and threads, in turns in one run.
 *
 *     npm run bench:train                        10M and 100M parameters, P = 1, 2, 4, five steps each after one to warm up
 *     npm run bench:train -- --quick             10M alone, two steps
 *     npm run bench:train -- --only 100M --p 4 --json
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { pythonEnvironment } from '../scripts/python-env.mjs'
import { type Case, casePlan, cases, writeWeights } from './train-cases.ts'

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    p: { type: 'string' },
    steps: { type: 'string' },
    threads: { type: 'string', default: '2' },
    json: { type: 'boolean', default: false },
  },
})
const steps = Number(flags.steps ?? (flags.quick ? 2 : 5))
const folder = fileURLToPath(new URL('../.cache/bench-train', import.meta.url))
const weights = `${folder}/weights.safetensors`
const here = (file: string) => fileURLToPath(new URL(file, import.meta.url))
const commands = {
  ours: [process.execPath, '--import', 'tsx', '--conditions=source', here('train-ours.ts')],
  torch: [pythonEnvironment('torch'), here('train-torch.py')],
}
type Side = keyof typeof commands
const sides = ['ours', 'torch'] as const

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
    const [command, ...args] = commands[side] as [string, ...string[]]
    this.#child = spawn(command, [...args, what, weights, flags.threads], { stdio: ['pipe', 'pipe', 'inherit'] })
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
  const peers = { ours: new Peer('ours', JSON.stringify(c)), torch: new Peer('torch', JSON.stringify(c)) }
  const ready = await peers.ours.answer()
  await peers.torch.answer()
  const times: Record<Side, number[]> = { ours: [], torch: [] }
  const peakBytes = { ours: 0, torch: 0 }
  for (let step = 0; step <= steps; step++) {
    const losses: number[] = []
    for (const side of sides) {
      const { ms, loss, peakBytes: peak } = await peers[side].step()
      if (step > 0) times[side].push(ms)
      peakBytes[side] = peak
      losses.push(loss)
    }
    // The same weights and tokens give the same loss, up to the order of sums; so do those that the steps before have left.
    if (!(Math.abs(losses[0]! - losses[1]!) < 1e-3)) throw new Error(`step ${step + 1}: losses ${losses} differ`)
  }
  for (const side of sides) peers[side].end()
  const [ours, torch] = [spreadOf(times.ours), spreadOf(times.torch)]
  return { ...c, flops: ready.flops, estimatedBytes: ready.estimatedBytes, peakBytes, oursMs: ours, torchMs: torch }
}

mkdirSync(folder, { recursive: true })
const chosen = cases.filter(
  ({ model, p }) => (flags.quick ? model === '10M' : !flags.only || model === flags.only) && (!flags.p || p === Number(flags.p)),
)
const rate = await matrixRate()
const load = loadavg().map((x) => x.toFixed(1))
if (!flags.json) {
  console.log(`${cpus()[0]?.model}, ${flags.threads} threads, load ${load.join(' ')}, ${(rate / 1e9).toFixed(0)} GFLOP/s in f32`)
  console.log('tokens/s at the median step [fastest], share of the matrix rate, peak memory in MB (our estimate)')
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
  const speed = (t: Result['oursMs']) => `${tokens(t.median)} [${tokens(t.min)}]`
  const one = results.find(({ model, p }) => model === r.model && p === 1)
  const growth = one && r.p > 1 ? `, step ${(r.oursMs.median / one.oursMs.median).toFixed(2)} x P=1` : ''
  const share = ((100 * r.flops) / (r.oursMs.median / 1e3) / rate).toFixed(0)
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(0)
  return (
    `${r.model} P=${r.p}: ours ${speed(r.oursMs)}, torch ${speed(r.torchMs)}, ratio ${(r.torchMs.median / r.oursMs.median).toFixed(2)}; ` +
    `${share} %; ${megabytes(r.peakBytes.ours)} (${megabytes(r.estimatedBytes)}) against ${megabytes(r.peakBytes.torch)}${growth}`
  )
}
