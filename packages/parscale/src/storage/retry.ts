/**
 * Trying again what one request cannot: a download that was cut, a part that arrived damaged. (Requests that were refused with
 * 5xx or SlowDown the SDK repeats by itself.)
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isTransient } from './errors.ts'

export interface RetryPolicy {
  /** Tries in a row without progress before giving up. */
  readonly attempts: number
  /** Longest wait before the second try; doubles with each further one. */
  readonly firstDelayMs: number
  readonly mostDelayMs: number
  /** A connection that is silent for so long counts as cut. */
  readonly stallMs: number
}

export const usualRetries: RetryPolicy = { attempts: 6, firstDelayMs: 500, mostDelayMs: 20_000, stallMs: 30_000 }

/** Full jitter: evenly between nothing and the bound, so that many who were refused at once do not come back at once. */
export const delayMs = (
  failures: number,
  { firstDelayMs, mostDelayMs }: Pick<RetryPolicy, 'firstDelayMs' | 'mostDelayMs'>,
  random: () => number = Math.random,
): number => random() * Math.min(mostDelayMs, firstDelayMs * 2 ** (failures - 1))

/**
 * Runs `attempt` until it succeeds, fails for a reason that does not pass, or has failed `policy.attempts` times in a row without
 * `madeProgress`.
 *
 * @throws the last failure; the signal's reason when aborted
 */
export async function retrying<T>(
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
  madeProgress: () => boolean = () => false,
): Promise<T> {
  for (let failures = 0; ; ) {
    try {
      signal?.throwIfAborted()
      return await attempt()
    } catch (error) {
      signal?.throwIfAborted()
      if (!isTransient(error)) throw error
      failures = madeProgress() ? 1 : failures + 1
      if (failures >= policy.attempts) throw error
      await sleep(delayMs(failures, policy), undefined, { signal }).catch(() => signal?.throwIfAborted())
    }
  }
}
