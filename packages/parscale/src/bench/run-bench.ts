/** A whole bench: refuses what does not fit into memory or disk, makes the models, measures the machine, then runs the turns. */
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import process from 'node:process'
import type { Device } from '@parscale/core/internal/cost'
import { onnxRuntime, onnxRuntimeFault } from '@parscale/core/internal/node/onnx-runtime'
import { unkeptLine } from '../load/decode-engine.ts'
import { availableMemoryBytes } from '../load/memory.ts'
import { packageVersion } from '../package-files.ts'
import type { Io } from '../terminal/io.ts'
import { type MakeOptions, type PlannedModel, requireDisk } from './bench-model.ts'
import { type Case, type CaseLists, crossCases, jobOf, requireMemory } from './cases.ts'
import type { Turn } from './job.ts'
import { measureCases } from './measure-cases.ts'
import { measureDevice } from './measure-device.ts'
import { type Row, rowOf, type StreamRatio, streamRatios } from './rows.ts'
import { prepareTurn } from './run-turn.ts'
import type { Workplace } from './workplace.ts'

export interface BenchSettings extends Omit<CaseLists, 'models'> {
  readonly rounds: number
  readonly resume?: string | undefined
  readonly workplace: Workplace
  /** Whether a case of the crossing is measured. Default: all are. */
  readonly choose?: (one: Case) => boolean
}

export interface BenchResult {
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly memoryBytes: number
    /** Processes that wanted a core, in the mean of a minute, when the bench began and ended: others disturb. */
    readonly loadBefore: number
    readonly loadAfter: number
    readonly node: string
    readonly parscale: string
    /** null: not measured, as ONNX Runtime is not installed. */
    readonly device: Device | null
  }
  readonly rounds: number
  readonly steps: number
  readonly rows: readonly Row[]
  readonly ratios: readonly StreamRatio[]
}

/** @throws resource error before anything is written, when a case does not fit memory or its model the disk */
export async function runBench(plans: readonly PlannedModel[], settings: BenchSettings, io: Io): Promise<BenchResult> {
  const { choose = () => true, rounds, steps, resume, workplace } = settings
  const crossing = (models: CaseLists['models']) => crossCases({ ...settings, models }).filter(choose)
  requireMemory(crossing(plans.map(({ model }) => model)), availableMemoryBytes())
  const noRoom = await requireDisk(plans, workplace, settings.engine)

  const loadBefore = loadavg()[0]!
  const models = []
  for (const plan of plans) {
    models.push(await shown(io, `writing ${plan.model.name} in ${plan.model.bits} bits`, (options) => plan.make(options)))
  }
  const cases: Case[] = []
  const said = new Set<string>()
  const prepare = async (one: Case, options: MakeOptions) => noRoom ?? (await prepareTurn(jobOf(one, workplace.cache), options))
  for (const one of crossing(models)) {
    const unkept = await shown(io, `packing ${one.model.name} in ${one.model.bits} bits`, (options) => prepare(one, options))
    cases.push(unkept ? { ...one, inMemory: true } : one)
    if (unkept && !said.has(unkept.message)) io.stderr(unkeptLine(unkept))
    if (unkept) said.add(unkept.message)
  }
  const devices = await measureDevices(settings.threads, io)
  const turns: readonly Turn[][] = await measureCases(cases, {
    rounds,
    resume,
    signal: io.signal,
    cacheDirectory: workplace.cache,
    onTurn: (line) => io.stderr(`${line}\n`),
  })
  return {
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      loadBefore,
      loadAfter: loadavg()[0]!,
      node: process.version,
      parscale: packageVersion(),
      device: devices.get(settings.threads[0]) ?? null,
    },
    rounds,
    steps,
    rows: cases.map((one, i) => rowOf(one, turns[i]!, devices.get(one.threads))),
    ratios: streamRatios(cases, turns),
  }
}

/** This machine with so many threads. Measured with ONNX Runtime's operators: empty without it, since the native step does no such products alone. */
async function measureDevices(threads: readonly (number | undefined)[], io: Io): Promise<Map<number | undefined, Device>> {
  const devices = new Map<number | undefined, Device>()
  const fault = onnxRuntimeFault()
  if (fault !== undefined) {
    io.stderr(`the machine's limits are not measured: ${fault}\n`)
    return devices
  }
  io.stderr('measuring bandwidth and matrix products of this machine\n')
  for (const count of threads)
    devices.set(count, await measureDevice(onnxRuntime(count === undefined ? {} : { threads: count }), io.signal))
  return devices
}

/** Writes something with its progress on the terminal. */
function shown<T>(io: Io, label: string, write: (options: MakeOptions) => Promise<T>): Promise<T> {
  const progress = io.progress(label, 'B')
  const onProgress: MakeOptions['onProgress'] = ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes)
  return write({ signal: io.signal, onProgress }).finally(() => progress.end())
}
