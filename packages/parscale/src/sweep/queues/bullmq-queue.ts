/**
 * Jobs in Redis, by BullMQ. A job is named by its run and its step, so that one that is offered twice is there once; one whose worker is
 * gone comes back when its lock ends. The packages are loaded only here: who has no Redis needs neither.
 */
import { randomUUID } from 'node:crypto'
import { hubError, usageError } from '@parscale/core/internal'
import type { Job as BullJob, Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Job } from '../rules.ts'
import type { JobQueue, Ticket } from './job-queue.ts'

/** A worker that says nothing for so long has lost its job. No harm where it only computes: its run is claimed by a lock besides. */
const lockMs = 10_000
const stalledEveryMs = 2_000
/** How long a job waits whose run somebody has. */
const laterMs = 1_000
const connectMs = 5_000
/** How long an answer may take. */
const awayMs = 3_000
/** Clocks that differ by more make nonsense of locks that end after a time. */
const mostSkewMs = 10_000

type JobData = Pick<Job, 'name' | 'until'>

export const defaultRedis = 'redis://127.0.0.1:6379'

/** Without the password. */
export function shownUrl(url: string): string {
  try {
    const shown = new URL(url)
    if (shown.password) shown.password = '***'
    return shown.href
  } catch {
    return url.replace(/\/\/[^@/]*@/, '//***@')
  }
}

/**
 * Whether this Redis can keep jobs: it is there, it evicts nothing, its clock is ours.
 *
 * @throws usage error for packages that are missing, a policy that evicts, a clock that is wrong; hub error where nobody answers
 */
export async function checkRedis(url: string): Promise<void> {
  const redis = await connect(url)
  try {
    const info = await redis.info('memory')
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
    if (policy !== 'noeviction')
      throw usageError(
        `${shownUrl(url)}: its maxmemory-policy is ${policy ?? 'unknown'}, which throws jobs away when memory runs short; set it: redis-cli config set maxmemory-policy noeviction`,
        { flag: 'redis', expected: 'noeviction', found: policy },
      )
    const [seconds, micros] = await redis.time()
    const skewMs = Number(seconds) * 1000 + Number(micros) / 1000 - Date.now()
    if (Math.abs(skewMs) > mostSkewMs)
      throw usageError(
        `${shownUrl(url)}: its clock is ${Math.abs(skewMs / 1000).toFixed(0)} s ${skewMs > 0 ? 'ahead of' : 'behind'} this machine's; set both by NTP`,
        { flag: 'redis', found: skewMs },
      )
  } finally {
    redis.disconnect()
  }
}

/** Makes what was queued before forgotten, so that jobs of workers that are gone need not be waited for. */
export async function emptyQueue(url: string, id: string): Promise<void> {
  const { queue, close } = await openQueue(url, id)
  try {
    await queue.obliterate({ force: true, count: 10_000 })
  } finally {
    await close()
  }
}

export async function bullmqQueue(url: string, id: string): Promise<JobQueue> {
  const { Worker } = await packages()
  const { queue, close } = await openQueue(url, id)
  const connection = await connect(url, true)
  const worker: Worker<JobData> = new Worker<JobData>(queueName(id), null, {
    connection,
    lockDuration: lockMs,
    stalledInterval: stalledEveryMs,
    maxStalledCount: 1_000_000, // whom a run kills is counted in the journal
    autorun: false,
  })
  worker.on('error', () => {}) // of the connection, which is made again
  await worker.startStalledCheckTimer()
  return {
    async next(signal): Promise<Ticket | undefined> {
      if (signal.aborted) return undefined
      const token = randomUUID()
      // While Redis is away this waits; whoever is told to end does not. A job that comes later is given back by its lock's end.
      const job = await unlessAborted(worker.getNextJob(token, { block: false }), signal)
      return job && ticketOf(job, token)
    },
    async offer(jobs) {
      const adding = queue.addBulk(
        jobs.map(({ name, until }) => ({
          name: 'run',
          data: { name, until },
          opts: { jobId: `${name}_${until}`, removeOnComplete: true, removeOnFail: true, attempts: 1 },
        })),
      )
      await patiently(adding) // what is not there is offered again
    },
    async close() {
      await patiently(worker.close(true))
      connection.disconnect()
      await close()
    },
  }
}

function ticketOf(job: BullJob<JobData>, token: string): Ticket {
  const renew = setInterval(() => void job.extendLock(token, lockMs).catch(() => {}), lockMs / 3)
  renew.unref()
  // A lock that was lost meanwhile is somebody else's: what happened stands in the journal.
  const settle = (work: () => Promise<unknown>) => async () => {
    clearInterval(renew)
    await patiently(work())
  }
  return {
    wants: ({ name, until }) => name === job.data.name && until === job.data.until,
    done: settle(() => job.moveToCompleted(null, token, false)),
    later: settle(() => job.moveToDelayed(Date.now() + laterMs, token)),
    back: settle(() => job.moveToWait(token)),
  }
}

/** Waits until it is done, has failed, or Redis is away for longer than a moment: the journal knows what matters. */
async function patiently(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, awayMs)
  })
  await Promise.race([work.catch(() => {}), late])
  clearTimeout(timer)
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let stop = () => {}
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined)
    signal.addEventListener('abort', stop)
  })
  work.catch(() => {}) // also where nobody waits for it any more
  return await Promise.race([work, aborted]).finally(() => signal.removeEventListener('abort', stop))
}

const queueName = (id: string): string => `parscale-sweep-${id}`

async function openQueue(url: string, id: string): Promise<{ queue: Queue<JobData>; close(): Promise<void> }> {
  const { Queue } = await packages()
  const connection = await connect(url, true)
  const queue = new Queue<JobData>(queueName(id), { connection })
  queue.on('error', () => {})
  return {
    queue,
    async close() {
      await patiently(queue.close())
      connection.disconnect()
    },
  }
}

/** @param lasting whether a connection that breaks is made again, for as long as it takes */
async function connect(url: string, lasting = false): Promise<Redis> {
  const { Redis } = await packages()
  if (!/^rediss?:\/\//.test(url))
    throw usageError(`--redis ${url}: expected redis://HOST:PORT or rediss://HOST:PORT`, { flag: 'redis', found: url })
  let up = false
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: connectMs,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => (lasting && up ? Math.min(times * 200, 2_000) : null),
  })
  let reason: Error | undefined
  redis.on('error', (error: Error) => {
    reason = error
  })
  try {
    await redis.connect()
    up = true
    return redis
  } catch (error) {
    redis.disconnect()
    const cause = reason ?? (error as Error)
    const code = (cause as NodeJS.ErrnoException).code ?? cause.message
    throw hubError(`${shownUrl(url)}: Redis cannot be reached (${code}); start redis-server, or name another one with --redis`, {
      cause,
    })
  }
}

async function packages() {
  try {
    const [{ Queue, Worker }, { Redis }] = await Promise.all([import('bullmq'), import('ioredis')])
    return { Queue, Worker, Redis }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw usageError('--on bullmq needs two packages that are not installed: npm install bullmq ioredis', { flag: 'on', cause })
  }
}
