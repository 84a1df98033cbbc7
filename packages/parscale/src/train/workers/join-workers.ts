/** Work that several processes do together, as mpirun and srun start them: the first one speaks and writes, all stop and fail together. */
import { execFile } from 'node:child_process'
import { hostname } from 'node:os'
import process from 'node:process'
import { promisify } from 'node:util'
import { usageError } from '@parscale/core/internal'
import { agree, alone, gatherValues, meet, type Workers } from '@parscale/core/internal/training'
import { type Io, silentProgress } from '../../terminal/io.ts'
import { type Launched, launchedAs, slurmMpi, tasksOfBatch } from './launcher.ts'
import { type Home, ownHome, watchOthers } from './watch-others.ts'

/** The workers of a training, as its commands see them. */
export interface Team {
  readonly workers: Workers
  /** The computer of each worker. */
  readonly hosts: readonly string[]
  /**
   * At the same point of all: whether one of them was asked to stop, and then each one's signal is aborted; and the other questions, of which
   * each is true where it is for one of them.
   */
  consult(...questions: readonly boolean[]): Promise<boolean[]>
}

/** The one process that there is; its signal is what stops it. */
export const single: Team = { workers: alone, hosts: [hostname()], consult: async (...questions) => [...questions] }

/** Does the work with those that the launcher has started beside this process, if one has. */
export async function withTeam<T>(io: Io, work: (io: Io, team: Team) => Promise<T>): Promise<T> {
  const launched = launchedAs(io.env)
  if (!launched) {
    const tasks = tasksOfBatch(io.env)
    if (tasks !== undefined)
      io.stderr(`this job of Slurm has ${tasks} tasks, and this process is alone; srun --mpi=pmix starts a worker for each\n`)
    return await work(io, single)
  }
  await refuseSeparate(launched, io.env)
  const { connect } = await import('./mpi.ts')
  const workers = await connect(launched)
  // Whatever goes wrong, nobody waits for this one: the others end with it, once it has said why.
  const abort = (code: number) => workers.abort(code === 0 ? 1 : code)
  process.on('exit', abort)
  const homes = (await gatherValues(workers, await ownHome())) as Home[]
  const hosts = homes.map(({ host }) => host)
  const forget = watchOthers(homes, workers.rank, (message) => io.stderr(`parscale: ${message}\n`))
  const stopping = new AbortController()
  const consult: Team['consult'] = async (...questions) => {
    const [stop, ...answers] = await agree(workers, [io.signal.aborted, ...questions].map(Number))
    if (stop) stopping.abort(io.signal.reason)
    return answers.map(Boolean)
  }
  const heard = workers.rank === 0 ? io : { ...io, ...silence }
  const end = async () => {
    await meet(workers)
    forget()
    process.off('exit', abort)
    workers.finalize()
  }
  try {
    const result = await work({ ...heard, signal: stopping.signal }, { workers, hosts, consult })
    await end()
    return result
  } catch (error) {
    // All have stopped, as they have agreed to.
    if (stopping.signal.aborted) await end()
    else {
      forget()
      workers.leave()
    }
    throw error
  }
}

/**
 * Tasks that were not told of each other, or in a way that Open MPI does not understand: its library would end them without a word of ours.
 *
 * @throws usage error
 */
async function refuseSeparate(launched: Launched, env: NodeJS.ProcessEnv): Promise<void> {
  const by = slurmMpi(launched, env)
  const advice = `start them with srun --mpi=pmix (where that is not there: docs/training.md, "Slurm and PMIx"), or with mpirun, or one alone with srun -n 1`
  if (by === 'none') throw usageError(`srun has started ${launched.size} tasks that cannot reach each other; ${advice}`)
  if (by === 'pmi' && !(await speaksPmi(env)))
    throw usageError(`srun has started ${launched.size} tasks by PMI-2, which this Open MPI does not speak; ${advice}`)
}

/** Open MPI 4 can be built with Slurm's PMI-1 and PMI-2, and names them in what it is made of; Debian's is not, and 5 has neither. */
async function speaksPmi(env: NodeJS.ProcessEnv): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)('ompi_info', ['--parsable'], { env, maxBuffer: 2 ** 26 })
    return /^mca:pmix:(s1|s2|cray):/m.test(stdout)
  } catch {
    return true // not to be known here: its library says
  }
}

const silence: Pick<Io, 'stdout' | 'stderr' | 'important' | 'detail' | 'progress'> = {
  stdout: () => {},
  stderr: () => {},
  important: () => {},
  detail: () => {},
  progress: () => silentProgress,
}

/** @throws usage error naming the first thing in which a worker differs from the first one */
export async function requireSame({ workers, hosts }: Team, own: Readonly<Record<string, unknown>>): Promise<void> {
  if (workers.size === 1) return
  const [first, ...others] = (await gatherValues(workers, own)) as [unknown, ...unknown[]]
  for (const [i, other] of others.entries()) {
    const found = difference(first, other, [])
    if (!found) continue
    throw usageError(
      `the workers disagree: ${found.path.join('.')} is ${JSON.stringify(found.second) ?? 'absent'} with worker ${i + 1} (on ${hosts[i + 1]}), ${JSON.stringify(found.first) ?? 'absent'} with worker 0 (on ${hosts[0]}); start all of them alike`,
      { flag: found.path.join('.'), expected: found.first, found: found.second },
    )
  }
}

interface Difference {
  readonly path: readonly string[]
  readonly first: unknown
  readonly second: unknown
}

/** The first place where two JSON values differ. */
export function difference(first: unknown, second: unknown, path: readonly string[]): Difference | undefined {
  if (typeof first !== 'object' || typeof second !== 'object' || first === null || second === null)
    return Object.is(first, second) ? undefined : { path, first, second }
  const keys = new Set([...Object.keys(first), ...Object.keys(second)])
  for (const key of keys) {
    const found = difference((first as Record<string, unknown>)[key], (second as Record<string, unknown>)[key], [...path, key])
    if (found) return found
  }
  return undefined
}
