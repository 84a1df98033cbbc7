/** How long the event loop was held: nothing that a request brings may hold it for long, as everybody else waits meanwhile. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { LoopDelay } from '@parscale/core/internal/server'

/** Milliseconds between two looks. */
const resolution = 10

/** Measures until `stop`. Node counts the time between two looks, which is the resolution where nothing is late. */
export function watchLoop(): { delay(): LoopDelay; reset(): void; stop(): void } {
  const histogram = monitorEventLoopDelay({ resolution })
  histogram.enable()
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolution) / 1000
  return {
    delay: () => ({
      p50: seconds(histogram.percentile(50)),
      p99: seconds(histogram.percentile(99)),
      max: seconds(histogram.max),
    }),
    reset: () => histogram.reset(),
    stop: () => void histogram.disable(),
  }
}
