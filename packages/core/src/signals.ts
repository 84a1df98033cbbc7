/** Signals that end work: one of several, and waiting for what cannot be ended. */

/** Aborted with the first of these that is. */
export function anySignal(...signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined))
}

/** What the promise comes to, or the signal's reason as soon as it is aborted; then the promise goes on unheard. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  promise.catch(() => {})
  signal?.throwIfAborted()
  let leave = () => {}
  const gone = new Promise<never>((_, reject) => {
    leave = () => reject(signal?.reason)
    signal?.addEventListener('abort', leave)
  })
  return await Promise.race([promise, gone]).finally(() => signal?.removeEventListener('abort', leave))
}
