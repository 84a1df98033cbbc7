/** A worker: takes jobs until there are none, each a run to begin or to go on with. What it is killed in, another one goes on with. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkpointError, isParscaleError, type ParscaleError, resourceError } from '@parscale/core/internal'
import { readRun } from '@parscale/core/internal/node'
import { appendToFile, diskError, type FileLock, lockHolder, tryFileLock } from '@parscale/core/internal/node/disk'
import { parseFinalEvaluation, parseMetrics } from '@parscale/core/internal/training'
import { heldOutError } from '../export/run-summary.ts'
import { trainingRuntime } from '../load/training-runtime.ts'
import { type Io, silentProgress } from '../terminal/io.ts'
import { resumeRun, startRun, type TrainResult } from '../train/train-run.ts'
import { sweepAdvice } from './journal.ts'
import type { JobQueue, Ticket } from './queues/job-queue.ts'
import type { Job, Report } from './rules.ts'
import type { SweepFolder } from './sweep-folder.ts'

/** How often a worker looks whether there is something to do, or whether it is to stop. */
const pollMs = 250

/** Works until the sweep is done (true) or paused, by its folder or by the process' own signal. @throws what no other run would be spared */
export async function work(folder: SweepFolder, queue: JobQueue, io: Io): Promise<boolean> {
  const stop = stopSignal(folder, io.signal)
  try {
    while (!stop.signal.aborted) {
      const ticket = await queue.next(stop.signal)
      try {
        const claimed = ticket ? await claim(folder, ticket) : await lookAround(folder, queue)
        if (claimed === 'done') {
          await ticket?.done()
          return true
        }
        if (typeof claimed === 'object') await doJob(folder, queue, ticket!, claimed, { ...io, signal: stop.signal })
        else if (claimed === 'gone') await ticket?.done()
        else {
          await ticket?.later()
          await sleep(pollMs, undefined, { signal: stop.signal }).catch(() => {})
        }
      } catch (error) {
        await ticket?.back()
        throw error
      }
    }
    return false
  } finally {
    stop.end()
  }
}

interface Claim {
  readonly job: Job
  readonly lock: FileLock
}

/** Takes one of the ticket's jobs that nobody has. `gone`: there is none any more; undefined: somebody has them. */
async function claim(folder: SweepFolder, ticket: Ticket): Promise<Claim | 'gone' | 'done' | undefined> {
  let taken: FileLock | undefined
  try {
    return await folder.journal.add<Claim | 'gone' | 'done' | undefined>(async (lines) => {
      const { ready } = folder.outlook(lines)
      if (ready.length === 0) return { entries: [], value: 'done' }
      const wanted = ready.filter(ticket.wants)
      for (const job of wanted) {
        const path = folder.claim(job.name)
        const lock = await tryFileLock(path).catch((error) => {
          throw diskError(error, path, sweepAdvice)
        })
        if (!('release' in lock)) continue
        taken = lock
        const run = folder.run(job.name)
        // Of a worker on another machine that was killed: whether it is gone shows a little later.
        if (!(await lockHolder(join(run, 'lock')))) {
          const begun = { event: 'begun', run: job.name, step: await checkpointStep(run), until: job.until } as const
          return { entries: [begun], value: { job, lock } }
        }
        await lock.release()
        taken = undefined
      }
      return { entries: [], value: wanted.length === 0 ? 'gone' : undefined }
    })
  } catch (error) {
    await taken?.release()
    throw error
  }
}

/** Where a queue has nothing: it may have lost what it had. */
async function lookAround(folder: SweepFolder, queue: JobQueue): Promise<'done' | undefined> {
  const { ready } = folder.outlook(await folder.journal.read())
  if (ready.length === 0) return 'done'
  await queue.offer(ready)
  return undefined
}

async function doJob(folder: SweepFolder, queue: JobQueue, ticket: Ticket, { job, lock }: Claim, io: Io): Promise<void> {
  try {
    const report = await train(folder, job, io)
    const ready = await folder.journal.add(async (lines) => {
      // Nothing twice: this worker may have been suspended while another one did it.
      const known = lines.some(
        (line) => line.event === report.event && 'run' in line && line.run === job.name && sameStep(line, report),
      )
      const entries = known ? [] : [report]
      return { entries, value: folder.outlook([...lines, ...entries]).ready }
    })
    if (report.event === 'left') return await ticket.back()
    await folder.journal.add(async (lines) => {
      await folder.writeTables(folder.outlook(lines))
      return { entries: [], value: undefined }
    })
    await ticket.done()
    await queue.offer(ready)
  } finally {
    await lock.release()
  }
}

const sameStep = (a: object, b: Report): boolean =>
  a !== b && b.event !== 'left' && (!('step' in b) || ('step' in a && a.step === b.step))

/** Does a job, whether or not it was begun before. */
async function train(folder: SweepFolder, job: Job, io: Io): Promise<Report> {
  const run = folder.run(job.name)
  const { io: logged, flush } = logTo(folder.log(job.name), io)
  const left: Report = { event: 'left', run: job.name }
  try {
    const config = folder.configOf(job)
    const { device, threads, cells } = folder.head
    const pauseAt = job.until < cells[job.cell]!.steps ? job.until : undefined
    const runtime = await trainingRuntime({ device, threads }, logged)
    const result = existsSync(join(run, 'config.json'))
      ? await resumeRun(logged, runtime, run, undefined, undefined, pauseAt)
      : await startRun(logged, runtime, config, run, false, undefined, undefined, pauseAt)
    return result
      ? await finished(job, result, run)
      : { event: 'rung', run: job.name, step: job.until, loss: await rungLoss(run, job) }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    logged.stderr(`${io.signal.aborted ? 'left' : 'failed'}: ${message}\n`)
    if (io.signal.aborted) return left
    // A full disk, too little memory, an engine that is missing: the run is as good as before, and all others would fail likewise.
    if (isParscaleError(error) && error.kind === 'resource') throw ofSweep(error)
    if (isSystemError(error)) throw diskError(error, run, sweepAdvice)
    return { event: 'failed', run: job.name, message }
  } finally {
    await flush()
  }
}

/** What goes on is the sweep, not the run alone. */
const runsAdvice = /\b(go on with --resume|begin again in the same folder, or choose another --out|run the command again)\b/i

const ofSweep = ({ message, facts }: ParscaleError) =>
  resourceError(message.replace(runsAdvice, 'run parscale sweep again'), facts)

const isSystemError = (error: unknown): boolean => typeof (error as NodeJS.ErrnoException).syscall === 'string'

async function finished(job: Job, { nonEmbeddingParameters, p, tokens }: TrainResult, run: string): Promise<Report> {
  const file = join(run, 'evaluation.json')
  const evaluation = parseFinalEvaluation(await readFile(file, 'utf8'), file)
  return {
    ...{ event: 'finished', run: job.name, loss: evaluation.loss, heldOutError: heldOutError(evaluation) ?? null },
    ...{ N: nonEmbeddingParameters, P: p, D: tokens },
  }
}

/** The held-out loss at the rung, which may have been evaluated by a worker that was killed before it could report. */
async function rungLoss(run: string, { until }: Job): Promise<number> {
  const file = join(run, 'metrics.jsonl')
  const records = parseMetrics(await readFile(file, 'utf8'), file)
  const found = records.findLast(({ kind, step }) => kind === 'evaluation' && step === until)
  if (typeof found?.loss === 'number') return found.loss
  throw checkpointError(`${file}: has no evaluation of step ${until}`, { file })
}

async function checkpointStep(run: string): Promise<number> {
  if (!existsSync(join(run, 'config.json'))) return 0
  return (await (await readRun(run)).checkpoints.list()).at(-1)?.step ?? 0
}

/** What a run says goes to its log. That a full disk takes no more of it is said by what matters more. */
function logTo(path: string, io: Io): { readonly io: Io; flush(): Promise<void> } {
  let writing: Promise<void> = Promise.resolve()
  const write = (text: string) => {
    writing = writing.then(() => appendToFile(path, text, sweepAdvice)).catch(() => {})
  }
  return {
    flush: () => writing,
    io: {
      ...{ stdout: write, stderr: write, isTTY: { stdout: false, stderr: false }, color: false, columns: undefined },
      ...{ env: io.env, signal: io.signal, progress: () => silentProgress },
      ...(io.background && { background: io.background }),
    },
  }
}

/** Aborted with the process' own signal, or when the folder is paused. */
function stopSignal(folder: SweepFolder, outer: AbortSignal): { readonly signal: AbortSignal; end(): void } {
  const abort = new AbortController()
  const stop = () => abort.abort()
  if (outer.aborted) stop()
  outer.addEventListener('abort', stop)
  const look = () => {
    if (existsSync(join(folder.path, 'pause'))) stop()
  }
  look()
  const timer = setInterval(look, pollMs)
  return {
    signal: abort.signal,
    end() {
      clearInterval(timer)
      outer.removeEventListener('abort', stop)
    },
  }
}
