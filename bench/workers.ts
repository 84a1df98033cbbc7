/**
 * Training by several workers against one, on this computer: the same passes, one thread each, in turns within one job of mpirun.
 *
 *     npm run bench:workers                                        1M and 10M parameters, P = 1 and 4, two workers
 *     npm run bench:workers -- --only 10M --p 1 --rounds 10 --micro-batches 4 --workers 2
 *
 * In each round the first worker takes a step alone, while the others wait; then all take it, once with sums sent in the backward pass and once
 * with sums sent after it. What of the exchange is hidden is 1 - (what is left of it behind the passes) / (the same where nothing is sent before
 * their end), of the worker that comes last, as the others wait for it besides. Processor time is of all workers; where others use the computer, it
 * says more than the clock: with W workers on cores of their own a step takes (processor time of all) / W at best. `apart` is what the computer
 * allows: the workers take their passes at the same time, each for itself, without any exchange.
 */
import { spawn } from 'node:child_process'
import { availableParallelism, cpus, loadavg } from 'node:os'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { agree, alone, ParallelStep, type StepTimes, type Workers } from '@parscale/core/internal/training'
import { nativeRuntime } from '@parscale/native'
import { initialParameters } from '../packages/core/src/training/start/initial-parameters.ts'
import { leavesOf } from '../packages/core/src/training/workers/tree-sum.ts'
import { gatherFigures } from '../packages/core/src/training/workers/workers.ts'
import { launchedAs } from '../packages/parscale/src/train/workers/launcher.ts'
import { connect } from '../packages/parscale/src/train/workers/mpi.ts'
import { type Case, casePlan, cases, tokenIds } from './train-cases.ts'

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string', default: '1M,10M' },
    p: { type: 'string', default: '1,4' },
    rounds: { type: 'string', default: '7' },
    workers: { type: 'string', default: '2' },
    'micro-batches': { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const passes = Number(flags['micro-batches'] ?? flags.workers)
const rounds = Number(flags.rounds)
const chosen = cases.filter(({ model, p }) => flags.only.split(',').includes(model) && flags.p.split(',').includes(String(p)))

const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b)
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2
}
const range = (values: readonly number[], digits: number) =>
  `${median(values).toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`

interface Turn {
  readonly seconds: number
  /** Of all workers. */
  readonly cpuSeconds: number
  /** Of the worker that came last to each. */
  readonly times: StepTimes
}

/** One case, on one of the workers; the first one says what was found. */
async function measure(workers: Workers, c: Case): Promise<void> {
  const runtime = nativeRuntime({ threads: 1 })
  const plan = casePlan(c)
  const state =
    workers.rank === 0 ? { parameters: initialParameters(plan.trainable, plan.config, { seed: 0, init: 'random' }) } : undefined
  const one = workers.rank === 0 ? await ParallelStep.create(runtime, plan, state, passes, alone) : undefined
  const hiding = await ParallelStep.create(runtime, plan, state, passes, workers)
  const after = await ParallelStep.create(runtime, plan, state, passes, workers, { overlap: false })
  const own = leavesOf(workers.rank, workers.size, passes)
  const first = { parameters: initialParameters(plan.trainable, plan.config, { seed: 0, init: 'random' }) }
  const apart = await ParallelStep.create(runtime, plan, first, own.end - own.start, alone)
  let number = 0
  const turn = async (step: ParallelStep | undefined, { start, end } = { start: 0, end: passes }): Promise<Turn> => {
    await agree(workers, [0])
    const cpu = process.cpuUsage()
    const begin = performance.now()
    const batches = Array.from({ length: end - start }, (_, i) => ({ ids: tokenIds(c, number * passes + start + i + 1) }))
    await step?.run(batches, { learningRate: 1e-4, step: number + 1 })
    const seconds = (performance.now() - begin) / 1000
    const { user, system } = process.cpuUsage(cpu)
    const { compute, exchange, update, gather } = step?.times ?? { compute: 0, exchange: Infinity, update: 0, gather: Infinity }
    const mine = Float64Array.of(seconds, (user + system) / 1e6, compute, exchange, update, gather)
    const all = await gatherFigures(workers, mine, new Array<number>(workers.size).fill(mine.length))
    const of = (i: number) => all.map((figures) => figures[i]!)
    return {
      seconds: Math.max(...of(0)),
      cpuSeconds: of(1).reduce((sum, x) => sum + x, 0),
      times: {
        compute: Math.max(...of(2)),
        exchange: Math.min(...of(3)),
        update: Math.max(...of(4)),
        gather: Math.min(...of(5)),
      },
    }
  }
  const found = { one: [] as Turn[], hiding: [] as Turn[], after: [] as Turn[], apart: [] as Turn[] }
  const loads: number[] = []
  for (let round = -1; round < rounds; round++) {
    const turns = { one: await turn(one), hiding: await turn(hiding), after: await turn(after), apart: await turn(apart, own) }
    number++
    if (round < 0) continue // to warm up
    for (const kind of ['one', 'hiding', 'after', 'apart'] as const) found[kind].push(turns[kind])
    loads.push(loadavg()[0]!)
  }
  await Promise.all([one?.dispose(), hiding.dispose(), after.dispose(), apart.dispose()])
  if (workers.rank > 0) return
  const pairs = (value: (one: Turn, hiding: Turn, apart: Turn) => number) =>
    found.one.map((each, i) => value(each, found.hiding[i]!, found.apart[i]!))
  const ms = (turns: readonly Turn[], of: (turn: Turn) => number) => median(turns.map(of)) * 1000
  const left = ms(found.hiding, ({ times }) => times.exchange)
  const whole = ms(found.after, ({ times }) => times.exchange)
  const result = {
    model: c.model,
    p: c.p,
    workers: workers.size,
    passes,
    tokens: c.sequences * c.tokens * passes,
    oneMs: ms(found.one, ({ seconds }) => seconds),
    allMs: ms(found.hiding, ({ seconds }) => seconds),
    speedups: pairs((a, b) => a.seconds / b.seconds),
    byProcessorTime: pairs((a, b) => (workers.size * a.cpuSeconds) / b.cpuSeconds),
    apart: pairs((a, _, b) => a.seconds / b.seconds),
    apartByProcessorTime: pairs((a, _, b) => (workers.size * a.cpuSeconds) / b.cpuSeconds),
    exchangeLeftMs: left,
    exchangeMs: whole,
    hidden: 1 - left / whole,
    updateMs: ms(found.hiding, ({ times }) => times.update),
    gatherMs: ms(found.hiding, ({ times }) => times.gather),
    load: median(loads),
  }
  if (flags.json) return console.log(JSON.stringify(result))
  console.log(
    [
      `${c.model}, P = ${c.p}, ${passes} passes of ${c.sequences} x ${c.tokens} tokens: ${result.oneMs.toFixed(0)} ms alone, ${result.allMs.toFixed(0)} ms with ${workers.size} workers`,
      `  faster by ${range(result.speedups, 2)}; by processor time at best ${range(result.byProcessorTime, 2)}`,
      `  apart, without an exchange: ${range(result.apart, 2)}; by processor time at best ${range(result.apartByProcessorTime, 2)}`,
      `  exchange of gradients ${whole.toFixed(1)} ms, of which ${left.toFixed(1)} ms are left behind the passes: ${(100 * result.hidden).toFixed(0)} % hidden`,
      `  update ${result.updateMs.toFixed(1)} ms, parameters of the others ${result.gatherMs.toFixed(1)} ms; load ${result.load.toFixed(1)} on ${cpus().length} cores`,
    ].join('\n'),
  )
}

const launched = launchedAs(process.env)
if (launched) {
  const workers = await connect(launched)
  for (const c of chosen) await measure(workers, c)
  await agree(workers, [0])
  workers.finalize()
} else {
  if (chosen.length === 0) throw new Error(`--only ${flags.only} --p ${flags.p}: there is no such case`)
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model}, ${availableParallelism()} cores, Node ${process.version}, load ${loadavg()[0]!.toFixed(1)} before`,
  )
  const words = ['--oversubscribe', '-n', flags.workers, process.execPath, '--import', 'tsx', '--conditions=source']
  const child = spawn('mpirun', [...words, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: '1', OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: '1' },
  })
  child.on('close', (code) => {
    process.exitCode = code ?? 1
  })
}
