/**
 * Long computations that can be interrupted are generators: they yield wherever they may pause, a few milliseconds apart, and
 * return their result. Here is how to run one.
 */

/** At once. */
export function finish<T>(steps: Generator<unknown, T>): T {
  let step = steps.next()
  while (!step.done) step = steps.next()
  return step.value
}

/** Often enough for a quick Ctrl-C and a smooth progress bar. */
const pauseEveryMs = 50

/**
 * With pauses that let timers and signals in.
 *
 * @param onPause told how far it is, and may throw
 * @throws the signal's reason when aborted
 */
export async function finishWithPauses<S, T>(
  steps: Generator<S, T>,
  { signal, onPause }: { readonly signal?: AbortSignal | undefined; readonly onPause?: (step: S) => void } = {},
): Promise<T> {
  let paused = performance.now()
  let step = steps.next()
  for (; !step.done; step = steps.next()) {
    if (performance.now() - paused < pauseEveryMs) continue
    onPause?.(step.value)
    await new Promise((resolve) => setTimeout(resolve))
    signal?.throwIfAborted()
    paused = performance.now()
  }
  return step.value
}
