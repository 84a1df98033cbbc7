/**
 * What the exchange of several workers takes over a network: the model of `parscale plan --workers` (packages/core/src/cost/workers.ts) fitted to
 * steps with delays and rates, and measured beside modelled. Linux, as root (network namespaces, /dev/net/tun), with iproute2 and openmpi-bin.
 *
 *     npm run bench:workers-network                               2 workers: fit and check
 *     npm run bench:workers-network -- --workers 4                more: measured beside what was fitted to 2; on two cores they take turns
 *     npm run bench:workers-network -- --json
 *
 * Each worker is a network namespace with a link of its own. Without delay the links are veth pairs on a bridge, and `tc tbf` sets the rate at
 * which each one sends. With delay they are TAP devices of delay-switch.py, which holds each frame back: many kernels have no netem. What that
 * switch itself takes for a byte is an unknown more, and is no part of the model. Passes are short, as the exchange does not depend on them. Some of
 * the settings are fitted, by least squares; the others are only compared.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, cpus, loadavg } from 'node:os'
import process from 'node:process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import {
  exchangeParts,
  type MessageCost,
  type MessageFlow,
  measuredHiddenShare,
  measuredMessageCost,
  workersStep,
} from '@parscale/core/internal/cost'
import { agree, layOut, ParallelStep, stepTraffic, type Workers } from '@parscale/core/internal/training'
import { nativeRuntime } from '@parscale/native'
import { initialParameters } from '../packages/core/src/training/start/initial-parameters.ts'
import { gatherFigures } from '../packages/core/src/training/workers/workers.ts'
import { launchedAs } from '../packages/parscale/src/train/workers/launcher.ts'
import { connect } from '../packages/parscale/src/train/workers/mpi.ts'
import { type Case, casePlan, cases, tokenIds } from './train-cases.ts'

const { values: flags } = parseArgs({
  options: {
    workers: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '1M,10M,deep,steps' },
    /** Told to the workers: over which of the two networks they are. */
    switched: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const size = Number(flags.workers)
const rounds = Number(flags.rounds)

interface Setting {
  /** One way. */
  readonly delaySeconds: number
  /** Infinity: no limit. */
  readonly bitsPerSecond: number
  /** Compared only. */
  readonly check?: true
}

/** Those with a delay go through the switch, the others over the bridge. */
const settings: readonly Setting[] = [
  { delaySeconds: 0, bitsPerSecond: Infinity },
  { delaySeconds: 0, bitsPerSecond: 1e9 },
  { delaySeconds: 0, bitsPerSecond: 2e8 },
  { delaySeconds: 0, bitsPerSecond: 5e8, check: true },
  { delaySeconds: 0.001, bitsPerSecond: Infinity },
  { delaySeconds: 0.005, bitsPerSecond: Infinity },
  { delaySeconds: 0.02, bitsPerSecond: Infinity },
  { delaySeconds: 0.01, bitsPerSecond: Infinity, check: true },
  { delaySeconds: 0.01, bitsPerSecond: 2e8, check: true },
]
const isSwitched = ({ delaySeconds }: Setting): boolean => delaySeconds > 0

/** Many matrices of 100 KB: more own pieces than are summed at once, so that the link is crossed several times in a row. */
const deep: Case = {
  model: 'deep',
  p: 1,
  hiddenSize: 128,
  intermediateSize: 192,
  layers: 60,
  vocabSize: 256,
  sequences: 1,
  tokens: 8,
}
/** Passes that an exchange can hide behind: steps are measured whole, with what the model makes of their parts beside them. */
const wholeSteps: Case = { ...cases.find(({ model, p }) => model === '1M' && p === 1)!, model: 'steps' }
const short = cases.filter(({ p }) => p === 1).map((c) => ({ ...c, sequences: 1, tokens: 8 }))
const chosen: readonly Case[] = [...short, deep, wholeSteps].filter(({ model }) => flags.only.split(',').includes(model))

interface Found {
  readonly model: string
  readonly setting: number
  /** Gradients and figures, and then parameters: from the last worker's begin to the last one's end. In seconds, medians of the rounds. */
  readonly exchange: number
  readonly gather: number
  /** The slowest pass and update without overlap, and the step with it. */
  readonly step?: { readonly pass: number; readonly update: number; readonly whole: number }
}

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2
}

interface Turn {
  /** Of the slowest worker. */
  readonly compute: number
  readonly exchange: number
  readonly update: number
  readonly gather: number
  readonly whole: number
}

/** One model with all settings, on one of the workers. The first one asks for each setting, and says what was found. */
async function measure(workers: Workers, c: Case, choose: (setting: number) => Promise<void>): Promise<void> {
  const plan = casePlan(c)
  const state =
    workers.rank === 0 ? { parameters: initialParameters(plan.trainable, plan.config, { seed: 0, init: 'random' }) } : undefined
  const runtime = nativeRuntime({ threads: 1 })
  const after = await ParallelStep.create(runtime, plan, state, workers.size, workers, { overlap: false })
  const hiding = c === wholeSteps ? await ParallelStep.create(runtime, plan, state, workers.size, workers) : undefined
  let number = 0
  const turn = async (step: ParallelStep): Promise<Turn> => {
    await agree(workers, [0])
    const batches = Array.from({ length: workers.size }, (_, i) => ({ ids: tokenIds(c, number * workers.size + i + 1) }))
    // One computer, one clock.
    const now = () => (performance.timeOrigin + performance.now()) / 1000
    const begin = now()
    await step.run(batches, { learningRate: 1e-4, step: number + 1 })
    const end = now()
    const { compute, exchange, update, gather } = step.times
    const computed = end - gather - update - exchange
    const moments = Float64Array.of(begin, computed, computed + exchange, end - gather, end, compute, update)
    const all = await gatherFigures(workers, moments, new Array<number>(workers.size).fill(moments.length))
    const last = (i: number) => Math.max(...all.map((figures) => figures[i]!))
    return {
      compute: last(5),
      exchange: last(2) - last(1),
      update: last(6),
      gather: last(4) - last(3),
      whole: last(4) - last(0),
    }
  }
  for (const [setting, each] of settings.entries()) {
    if (isSwitched(each) !== flags.switched) continue
    if (workers.rank === 0) await choose(setting)
    const turns: { after: Turn; hiding: Turn | undefined }[] = []
    for (let round = -1; round < rounds; round++) {
      const both = { after: await turn(after), hiding: hiding && (await turn(hiding)) }
      number++
      if (round >= 0) turns.push(both)
    }
    const middle = (of: (turn: (typeof turns)[number]) => number) => median(turns.map(of))
    const found: Found = {
      model: c.model,
      setting,
      exchange: middle((each) => each.after.exchange),
      gather: middle((each) => each.after.gather),
      ...(hiding && {
        step: {
          pass: middle((each) => each.after.compute),
          update: middle((each) => each.after.update),
          whole: middle((each) => each.hiding!.whole),
        },
      }),
    }
    if (workers.rank === 0) console.log(`found ${JSON.stringify(found)}`)
  }
  await after.dispose()
  await hiding?.dispose()
}

const address = (rank: number) => `10.77.0.${rank + 1}`
const namespace = (rank: number) => `parscale-${rank + 1}`
/** Their other ends, beside the bridge. */
const device = (rank: number) => `parscale${rank}`
const bridge = 'parscale-bridge'
const ranks = Array.from({ length: size }, (_, rank) => rank)
const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const ip = (...words: string[]) => execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] })

function setRate(bitsPerSecond: number): void {
  for (const rank of ranks) {
    const tc = (...words: string[]) => ['netns', 'exec', namespace(rank), 'tc', 'qdisc', ...words, 'dev', device(rank), 'root']
    const limited = bitsPerSecond < Infinity
    ip(...tc('replace'), ...(limited ? ['tbf', 'rate', `${bitsPerSecond}bit`, 'burst', '64kb', 'latency', '400ms'] : ['pfifo']))
  }
}

/** A bridge in the first namespace, and a veth pair to it from each. */
function layCables(): void {
  ip('-n', namespace(0), 'link', 'add', bridge, 'type', 'bridge')
  ip('-n', namespace(0), 'link', 'set', bridge, 'mtu', '9000', 'up')
  for (const rank of ranks) {
    const [own, other] = [device(rank), `port${rank}`]
    const ends = ['type', 'veth', 'peer', 'name', other, 'mtu', '9000', 'netns', namespace(0)]
    ip('-n', namespace(rank), 'link', 'add', own, 'mtu', '9000', ...ends)
    ip('-n', namespace(0), 'link', 'set', other, 'master', bridge, 'up')
    ip('-n', namespace(rank), 'addr', 'add', `${address(rank)}/24`, 'dev', own)
    ip('-n', namespace(rank), 'link', 'set', own, 'up')
  }
}

/** Namespaces, links, workers: all settings with or without delay, of all models. */
async function overNetwork(switched: boolean): Promise<Found[]> {
  const found: Found[] = []
  const running: ChildProcess[] = []
  try {
    for (const rank of ranks) {
      ip('netns', 'add', namespace(rank))
      ip('-n', namespace(rank), 'link', 'set', 'lo', 'up')
      // The window follows losses, which there are none of: BBR would go by the delay of the setting before. And it is kept over a pause.
      const set = 'echo reno > tcp_congestion_control; echo 0 > tcp_slow_start_after_idle'
      execFileSync('ip', ['netns', 'exec', namespace(rank), 'sh', '-c', `cd /proc/sys/net/ipv4; ${set}`])
    }
    let setDelay = async (_: number) => {}
    if (!switched) layCables()
    else {
      const links = ranks.map((rank) => `${namespace(rank)}=${device(rank)}=${address(rank)}/24`)
      const switching = spawn('python3', [file('delay-switch.py'), ...links], { stdio: ['pipe', 'pipe', 'inherit'] })
      running.push(switching)
      const answers = createInterface({ input: switching.stdout })[Symbol.asyncIterator]()
      await answers.next()
      setDelay = async (seconds) => {
        switching.stdin.write(`${seconds}\n`)
        await answers.next()
      }
    }
    const mca = {
      plm_rsh_agent: file('namespace-agent.sh'),
      btl: 'tcp,self',
      btl_tcp_if_include: '10.77.0.0/24',
      oob_tcp_if_include: '10.77.0.0/24',
    }
    const launcher = [
      ...['netns', 'exec', namespace(0), 'mpirun', '--oversubscribe', '-n', String(size), '--host', ranks.map(address).join(',')],
      ...Object.entries(mca).flatMap(([name, value]) => ['--mca', name, value]),
      ...[
        process.execPath,
        '--import',
        'tsx',
        '--conditions=source',
        file('workers-network.ts'),
        ...process.argv.slice(2),
        ...(switched ? ['--switched'] : []),
      ],
    ]
    const mpirun = spawn('ip', launcher, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
    })
    running.push(mpirun)
    const ended = once(mpirun, 'close')
    for await (const line of createInterface({ input: mpirun.stdout })) {
      const [kind, value = ''] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]
      if (kind === 'found') found.push(JSON.parse(value) as Found)
      else if (kind === 'setting') {
        const { delaySeconds, bitsPerSecond } = settings[Number(value)]!
        setRate(bitsPerSecond)
        await setDelay(delaySeconds)
        mpirun.stdin.write('set\n')
      } else console.error(line)
    }
    const [code] = (await ended) as [number]
    if (code !== 0) throw new Error(`mpirun ended with ${code}`)
  } finally {
    for (const child of running) child.kill()
    for (const rank of ranks) execFileSync('ip', ['netns', 'del', namespace(rank)], { stdio: 'ignore' })
  }
  return found
}

/** One measured time, and what was sent meanwhile. */
interface Row {
  readonly what: string
  readonly setting: Setting
  readonly measured: number
  readonly flows: readonly MessageFlow[]
}

function rowsOf(found: readonly Found[]): Row[] {
  return found.flatMap(({ model, setting: i, exchange, gather, step }): Row[] => {
    if (step) return []
    const plan = casePlan(chosen.find((c) => c.model === model)!)
    const { gradients, figures, parameters } = stepTraffic(layOut(plan.trainable), size, size)
    const setting = settings[i]!
    return [
      { what: `${model} gradients`, setting, measured: exchange, flows: [gradients, figures] },
      { what: `${model} parameters`, setting, measured: gather, flows: [parameters] },
    ]
  })
}

const linkOf = ({ delaySeconds, bitsPerSecond }: Setting) => ({ latencySeconds: delaySeconds, bytesPerSecond: bitsPerSecond / 8 })

const isFitted = ({ setting }: Row): boolean => size === 2 && !setting.check

/** With what the switch takes for a byte, where that is more than what the workers do. */
type Fitted = MessageCost & { readonly switchSeconds: number }

function costOf(setting: Setting, { switchSeconds, ...cost }: Fitted): MessageCost {
  return isSwitched(setting) ? { ...cost, byteSeconds: Math.max(cost.byteSeconds, switchSeconds) } : cost
}

const modelled = ({ flows, setting }: Row, fitted: Fitted): number =>
  flows.reduce((sum, flow) => {
    const parts = exchangeParts(flow, { workers: size, link: linkOf(setting), cost: costOf(setting, fitted) })
    return sum + parts.latency + parts.bandwidth + parts.overhead
  }, 0)

/** Least squares of the logarithms, one unknown after the other by smaller and smaller steps: there are few, and corners where one stops to matter. */
function fit(rows: readonly Row[], start: Fitted, unknown: readonly (keyof Fitted)[]): Fitted {
  const error = (fitted: Fitted) => rows.reduce((sum, row) => sum + Math.log(modelled(row, fitted) / row.measured) ** 2, 0)
  let best = { fitted: start, error: error(start) }
  for (let factor = 4; factor > 1.0005; ) {
    const before = best.error
    for (const name of unknown) {
      for (const by of [factor, 1 / factor]) {
        const fitted = { ...best.fitted, [name]: best.fitted[name] * by }
        if (fitted.bandwidthShare > 1) continue
        const found = error(fitted)
        if (found < best.error) best = { fitted, error: found }
      }
    }
    if (best.error > before * (1 - 1e-6)) factor = Math.sqrt(factor)
  }
  return best.fitted
}

/** Steps with their exchange hidden, as far as it goes: nothing of this is fitted, but for the messages. */
function printSteps(found: readonly Found[], fitted: Fitted): void {
  const plan = casePlan(wholeSteps)
  const traffic = { ...stepTraffic(layOut(plan.trainable), size, size), agreement: { messages: 0, bytes: 0, hops: 0 } }
  const steps = found.flatMap(({ setting, step }) => (step ? [{ setting: settings[setting]!, step }] : []))
  if (steps.length === 0) return
  console.log('\n| delay | rate | pass | step | modelled | hidden, modelled |\n|---|---|---|---|---|---|')
  for (const { setting, step } of steps) {
    const { seconds, hiddenSeconds } = workersStep({
      ...{ workers: size, passes: size, passSeconds: step.pass, passSpread: 0, updateSeconds: size * step.update },
      ...{ traffic, link: linkOf(setting), cost: costOf(setting, fitted), hiddenShare: measuredHiddenShare },
    })
    const cells = [ms(setting.delaySeconds), rateText(setting), ms(step.pass), ms(step.whole), ms(seconds), ms(hiddenSeconds)]
    console.log(`| ${cells.map((cell, i) => (i === 1 ? cell : `${cell} ms`)).join(' | ')} |`)
  }
}

const rateText = ({ bitsPerSecond }: Setting) => (bitsPerSecond < Infinity ? `${bitsPerSecond / 1e6} Mbit/s` : 'any')
const ms = (seconds: number) => (1000 * seconds).toFixed(1)

function print(rows: readonly Row[], cost: Fitted): void {
  console.log(
    `${size === 2 ? 'fitted' : 'fitted to two workers before'}: o ${(cost.messageSeconds * 1e6).toFixed(1)} us a message, h ${(cost.hopSeconds * 1e6).toFixed(0)} us a hop, b ${(cost.byteSeconds * 1e9).toFixed(2)} ns a byte, e ${cost.bandwidthShare.toFixed(2)} of the bandwidth, w ${(cost.windowBytes / 1e6).toFixed(1)} MB; the switch ${(cost.switchSeconds * 1e9).toFixed(2)} ns a byte\n`,
  )
  console.log('| | messages | MB | hops | delay | rate | measured | modelled | |\n|---|---|---|---|---|---|---|---|---|')
  for (const row of rows) {
    const { what, setting, measured, flows } = row
    const sum = (of: (flow: MessageFlow) => number) => flows.reduce((total, flow) => total + of(flow), 0)
    const rate = rateText(setting)
    const cells = [
      what,
      sum((f) => f.messages),
      (sum((f) => f.bytes) / 1e6).toFixed(1),
      sum((f) => f.hops),
      `${ms(setting.delaySeconds)} ms`,
      rate,
    ]
    console.log(
      `| ${[...cells, `${ms(measured)} ms`, `${ms(modelled(row, cost))} ms`, isFitted(row) ? 'fitted' : ''].join(' | ')} |`,
    )
  }
  const errors = (fitted: boolean) =>
    rows.filter((row) => isFitted(row) === fitted).map((row) => Math.abs(modelled(row, cost) / row.measured - 1))
  const percent = (values: readonly number[]) =>
    `${(100 * median(values)).toFixed(0)} % (at most ${(100 * Math.max(...values)).toFixed(0)} %)`
  if (size === 2) console.log(`\nrelative error of what was fitted, median: ${percent(errors(true))}`)
  console.log(`\nrelative error of what was not, median: ${percent(errors(false))}`)
}

const launched = launchedAs(process.env)
if (launched) {
  const workers = await connect(launched)
  const answers = workers.rank === 0 ? createInterface({ input: process.stdin })[Symbol.asyncIterator]() : undefined
  const choose = async (setting: number) => {
    console.log(`setting ${setting}`)
    await answers!.next()
  }
  for (const c of chosen) await measure(workers, c, choose)
  await agree(workers, [0])
  workers.finalize()
  process.exit(0)
} else {
  if (chosen.length === 0) throw new Error(`--only ${flags.only}: there is no such model`)
  if (!Number.isSafeInteger(size) || size < 2)
    throw new Error(`--workers must be a whole number of at least 2, got ${flags.workers}`)
  if (process.getuid?.() !== 0) throw new Error('network namespaces need root')
  const before = loadavg()[0]!
  const found = [...(await overNetwork(false)), ...(await overNetwork(true))]
  const rows = rowsOf(found)
  const start: Fitted = { ...measuredMessageCost, switchSeconds: 4e-9 }
  const unknown = size === 2 ? (Object.keys(start) as (keyof Fitted)[]) : (['switchSeconds'] as const)
  const cost = fit(size === 2 ? rows.filter(isFitted) : rows, start, unknown)
  if (flags.json) console.log(JSON.stringify({ workers: size, cost, rows, found }))
  else {
    console.log(
      `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}, load ${before.toFixed(1)} before and ${loadavg()[0]!.toFixed(1)} after, ${size} workers`,
    )
    print(rows, cost)
    printSteps(found, cost)
  }
}
