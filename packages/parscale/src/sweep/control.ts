/** Begins a sweep and watches over it until it is done or paused: the same for all that workers run on. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { runtimeError, usageError } from '@parscale/core/internal'
import { diskError, type FileLock, lockHolder, makeFolder, tryFileLock } from '@parscale/core/internal/node/disk'
import type { Io } from '../terminal/io.ts'
import type { Backend } from './backends/backend.ts'
import { processBackend } from './backends/processes.ts'
import { slurmBackend } from './backends/slurm.ts'
import { requireClock } from './clock.ts'
import { type BackendName, type JournalLine, sweepAdvice } from './journal.ts'
import { journalQueue } from './queues/job-queue.ts'
import { lastStarted, type SweepStatus, sweepStatus } from './status.ts'
import { SweepFolder, type SweepHead } from './sweep-folder.ts'
import { work } from './worker.ts'

export interface ControlOptions {
  readonly on: BackendName
  readonly workers: number
  readonly redis: string | undefined
  /** Slurm: does not wait for the workers. */
  readonly detach: boolean
}

const pollMs = 300

/**
 * @throws usage error for a folder with another sweep, or one that somebody runs already; what backends need and do not find; runtime
 *   error where workers are gone and something is left, or where runs have failed
 */
export async function controlSweep(
  io: Io,
  out: string,
  plan: Omit<SweepHead, 'format' | 'id'>,
  options: ControlOptions,
): Promise<SweepStatus> {
  const { on, workers, detach } = options
  // A first look at what is asked for, before there is a folder.
  await backendFor(io, undefined, plan.slurm, options, undefined).check()
  const { folder, isNew } = await SweepFolder.create(out, plan)
  const lock = await lockSweep(folder)
  try {
    for (const name of ['runs', 'claims', 'logs'])
      await makeFolder(join(folder.path, name)).catch((error) => {
        throw diskError(error, folder.path, sweepAdvice)
      })
    await requireClock(folder.path)
    const before = await folder.journal.read()
    const seen = before.length
    const outlook = folder.outlook(before)
    const { ready } = outlook
    await folder.writeTables(outlook)
    if (ready.length > 0) {
      const backend = backendFor(io, folder, plan.slurm, options, lastStarted(before)?.job)
      await backend.check()
      io.stderr(
        `${isNew ? 'begun' : 'going on'}: ${outlook.runs.length} runs in ${folder.path}, ${ready.length} to do now, ${workers} workers on ${on}\n`,
      )
      await folder.unpause()
      const started = await backend.start()
      await folder.journal.add(async () => ({ entries: [started], value: undefined }))
      if (detach) {
        io.stderr(`submitted as job ${started.job}; see parscale sweep status ${out}\n`)
        return await sweepStatus(folder)
      }
      if (workers === 0 && on !== 'bullmq') {
        io.stderr(`start workers with: parscale sweep work ${folder.path}\n`)
        return await sweepStatus(folder)
      }
      await watch(io, folder, backend, seen)
    }
    await folder.writeTables(folder.outlook(await folder.journal.read()))
    const status = await sweepStatus(folder)
    requireAll(status)
    return status
  } finally {
    await lock.release()
  }
}

/** Ends all workers of a sweep, in good order, and waits until they have. */
export async function cancelSweep(folder: SweepFolder, io: Io): Promise<void> {
  const { state } = await sweepStatus(folder)
  if (state === 'done') return io.stderr('the sweep is done; there is nothing to end\n')
  await folder.pause()
  const started = lastStarted(await folder.journal.read())
  if (started?.on === 'slurm') await slurmBackend({ folder: folder.path, workers: 0, slurm: {}, io, job: started.job }).stop()
  for (;;) {
    const { counts } = await sweepStatus(folder)
    if (counts.running === 0) break
    io.signal.throwIfAborted()
    await sleep(pollMs)
  }
  io.stderr('paused: no worker runs any more, and every run is saved; parscale sweep with the same file and folder goes on\n')
}

/** @returns whether the sweep is done; else it is paused */
export async function workFor(folder: SweepFolder, io: Io, redis: string | undefined): Promise<boolean> {
  await requireClock(folder.path)
  const on = lastStarted(await folder.journal.read())?.on
  if (on !== 'bullmq') return await work(folder, journalQueue, io)
  const { bullmqQueue, checkRedis, defaultRedis } = await import('./queues/bullmq-queue.ts')
  const url = redis ?? defaultRedis
  await checkRedis(url)
  const queue = await bullmqQueue(url, folder.head.id)
  return await work(folder, queue, io).finally(() => queue.close())
}

function backendFor(
  io: Io,
  folder: SweepFolder | undefined,
  slurm: SweepHead['slurm'],
  { on, workers, redis }: ControlOptions,
  job: string | undefined,
): Backend {
  const path = folder?.path ?? ''
  if (on === 'slurm') return slurmBackend({ folder: path, workers, slurm, io, job })
  const progress = async () => {
    const lines = (await folder?.journal.read()) ?? []
    return lines.filter(({ event }) => event !== 'begun').length
  }
  if (on === 'local') return processBackend({ name: 'local', folder: path, workers, io, progress, check: async () => {} })
  const queue = () => import('./queues/bullmq-queue.ts')
  const url = async () => redis ?? (await queue()).defaultRedis
  return processBackend({
    ...{ name: 'bullmq', folder: path, workers, io, progress },
    ...(redis !== undefined && { env: { REDIS_URL: redis } }),
    check: async () => (await queue()).checkRedis(await url()),
    prepare: async () => (await queue()).emptyQueue(await url(), folder!.head.id),
    clear: async () => (await queue()).emptyQueue(await url(), folder!.head.id),
  })
}

async function lockSweep(folder: SweepFolder): Promise<FileLock> {
  const path = join(folder.path, 'sweep.lock')
  const lock = await tryFileLock(path).catch((error) => {
    throw diskError(error, path, sweepAdvice)
  })
  if ('release' in lock) return lock
  const owner = await lockHolder(path)
  const who = owner ? `process ${owner.pid} on ${owner.host}` : 'another process'
  throw usageError(
    `${folder.path}: ${who} runs this sweep already; see parscale sweep status ${folder.path}, or end it with parscale sweep cancel ${folder.path}`,
    { file: folder.path, found: owner },
  )
}

/** Returns when nothing is left to do, and all workers of ours have ended. */
async function watch(io: Io, folder: SweepFolder, backend: Backend, seen: number): Promise<void> {
  const progress = io.progress('sweep', 'steps')
  const told = newsTeller(io, folder, seen)
  let stopped = false
  let looked = 0
  try {
    for (;;) {
      const alive = await backend.alive()
      const lines = await folder.journal.read()
      told(lines)
      const { ready } = folder.outlook(lines)
      if (ready.length === 0 && !(backend.name !== 'slurm' && alive)) return await backend.clear?.()
      const isPaused = await folder.isPaused()
      if (io.signal.aborted && !isPaused) await folder.pause()
      if ((io.signal.aborted || isPaused) && !stopped) {
        stopped = true
        io.stderr('pausing: workers save their runs\n')
        await backend.stop()
      }
      if (stopped && !(alive ?? (await sweepStatus(folder)).counts.running)) return endPaused(io, folder)
      if (alive === 0 && !stopped)
        throw runtimeError(
          `sweep: no worker runs any more, and ${ready.length} runs are left; ${folder.path}/logs says why. The same command again goes on`,
        )
      if (io.isTTY.stderr && looked++ % 3 === 0) {
        const { steps, counts } = await sweepStatus(folder)
        progress.update(steps.done, steps.total, [`${counts.finished} finished`, `${counts.running} run`])
      }
      await sleep(pollMs, undefined, { signal: io.signal.aborted ? undefined : io.signal }).catch(() => {})
    }
  } catch (error) {
    // What one worker met ends the others, too; their runs are saved.
    await folder.pause().catch(() => {})
    await backend.stop().catch(() => {})
    throw error
  } finally {
    progress.end()
  }
}

function endPaused(io: Io, folder: SweepFolder): void {
  io.stderr(`paused: every run is saved in ${folder.path}; the same command again goes on\n`)
  io.signal.throwIfAborted()
}

/** A line for each run that ends. */
function newsTeller(io: Io, folder: SweepFolder, seen: number): (lines: readonly JournalLine[]) => void {
  let from = seen
  return (lines) => {
    if (from === lines.length) return
    const { runs } = folder.outlook(lines)
    const over = runs.filter(({ state }) => state === 'finished' || state === 'failed' || state === 'stopped').length
    const news = lines.slice(from)
    from = lines.length
    for (const line of news) {
      if (line.event === 'finished')
        io.stderr(`${line.run}: finished, held-out loss ${line.loss.toFixed(4)} (${over} of ${runs.length})\n`)
      if (line.event === 'failed') io.stderr(`${line.run}: failed: ${line.message}\n`)
      if (line.event === 'rung')
        io.stderr(`${line.run}: at the rung of step ${line.step}, held-out loss ${line.loss.toFixed(4)}\n`)
    }
  }
}

function requireAll({ state, runs, folder }: SweepStatus): void {
  const failed = runs.filter((run) => run.state === 'failed')
  if (state !== 'done' || failed.length === 0) return
  const names = failed.slice(0, 3).map(({ name, message }) => `${name} (${message})`)
  throw runtimeError(
    `sweep: ${failed.length} of ${runs.length} runs failed: ${names.join('; ')}${failed.length > 3 ? '; ...' : ''}. The others are in ${folder}/results.csv`,
  )
}
