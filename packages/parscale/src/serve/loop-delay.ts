/** How long the event loop was held: nothing that a request brings may hold it for long, as everybody else waits meanwhile. */
import { readFileSync } from 'node:fs'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { LoopDelay } from '@parscale/core/internal/server'

/** Milliseconds between two looks. */
const resolution = 10

/** Measures until `stop`. Node counts the time between two looks, which is the resolution where nothing is late. */
export function watchLoop(): { delay(): LoopDelay; reset(): void; stop(): void } {
  const histogram = monitorEventLoopDelay({ resolution })
  histogram.enable()
  const own = watchOwn()
  const seconds = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolution) / 1000
  return {
    delay: () => ({
      p50: seconds(histogram.percentile(50)),
      p99: seconds(histogram.percentile(99)),
      max: seconds(histogram.max),
      ...(own && { own: own.longest() / 1000 }),
    }),
    reset: () => {
      histogram.reset()
      own?.reset()
    },
    stop: () => {
      histogram.disable()
      own?.stop()
    },
  }
}

/** The longest hold less what the thread waited for a processor meanwhile, which others on the machine had. Linux; else undefined. */
function watchOwn(): { longest(): number; reset(): void; stop(): void } | undefined {
  if (processorWaitMs() === undefined) return undefined
  let longest = 0
  const moment = () => ({ at: performance.now(), waited: processorWaitMs()! })
  let before = moment()
  const look = () => {
    const now = moment()
    longest = Math.max(longest, now.at - before.at - (now.waited - before.waited) - resolution)
    before = now
  }
  const timer = setInterval(look, resolution).unref()
  return {
    longest: () => longest,
    reset() {
      longest = 0
      before = moment()
    },
    stop: () => clearInterval(timer),
  }
}

/**
 * How long the process' first thread, which runs this, was ready to run and had no processor, in ms: the second number of schedstat.
 * Undefined on other systems, and where the kernel does not count it.
 */
function processorWaitMs(): number | undefined {
  try {
    const ms = Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[1]) / 1e6
    return Number.isNaN(ms) ? undefined : ms
  } catch {
    return undefined
  }
}
