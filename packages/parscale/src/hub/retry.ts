/** Retries: which failures are transient, how long to wait, when to give up. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ParscaleError } from '@parscale/core/internal'

export interface RetryPolicy {
  /** Tries in a row without progress before giving up. */
  readonly attempts: number
  /** Wait before the second try; doubles with each further one. */
  readonly firstDelayMs: number
  /** A connection that is silent for so long counts as cut. */
  readonly stallMs: number
  /** In so long a connection brings at least `leastBytes`, or counts as cut and as no progress. */
  readonly slowMs: number
  readonly leastBytes: number
}

export const defaultRetryPolicy: RetryPolicy = {
  attempts: 5,
  firstDelayMs: 500,
  stallMs: 30_000,
  slowMs: 120_000,
  leastBytes: 120_000,
}

/** A server that asks for a longer pause than this gets none: the person decides. */
const maxDelayMs = 120_000

/** A failure that may pass: a cut connection, a busy server. `error` is what the caller sees when it does not. */
export class TransientFailure extends Error {
  readonly error: ParscaleError
  /** What the server asked for (Retry-After). */
  readonly delayMs: number | undefined

  constructor(error: ParscaleError, delayMs?: number) {
    super(error.message)
    this.error = error
    this.delayMs = delayMs
  }
}

/**
 * Runs `attempt` until it returns, throws something other than a TransientFailure, or has failed `policy.attempts`
 * times in a row without `madeProgress`.
 */
export async function retrying<T>(
  policy: Pick<RetryPolicy, 'attempts' | 'firstDelayMs'>,
  signal: AbortSignal | undefined,
  attempt: () => Promise<T>,
  madeProgress: () => boolean = () => false,
): Promise<T> {
  let failures = 0
  while (true) {
    try {
      signal?.throwIfAborted()
      return await attempt()
    } catch (failure) {
      signal?.throwIfAborted()
      if (!(failure instanceof TransientFailure)) throw failure
      failures = madeProgress() ? 1 : failures + 1
      const delayMs = failure.delayMs ?? policy.firstDelayMs * 2 ** (failures - 1)
      if (failures >= policy.attempts || delayMs > maxDelayMs) throw failure.error
      await sleep(delayMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
    }
  }
}

/** Retry-After in milliseconds: seconds or a date (RFC 9110, 10.2.3); undefined where it is missing or makes no sense. */
export function retryAfterMs(header: string | null, nowMs = Date.now()): number | undefined {
  if (header === null) return undefined
  const ms = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - nowMs
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined
}
