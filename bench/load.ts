/**
 * A server under a mixed load for minutes: chat, completions, streams, embeddings, schemas, clients that leave, faults, several models of
 * which one is freed and loaded again. The last minute against the first: tokens/s, and resident memory of the server's process. Linux.
 *
 *     npm run bench:load                      10 minutes, 8 clients
 *     npm run bench:load -- --minutes 3 --clients 16 --json
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import {
  cpuSeconds,
  type MixedCounts,
  mixedLoad,
  mixedModels,
  residentBytes,
} from '../packages/parscale/src/serve/testing/mixed-load.ts'
import { killServers, type ServerProcess, startServer } from '../packages/parscale/src/serve/testing/server-process.ts'

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    clients: { type: 'string', default: '8' },
    /** Seconds of one figure. */
    every: { type: 'string', default: '60' },
    json: { type: 'boolean', default: false },
  },
})
const [minutes, clients, every] = [Number(flags.minutes), Number(flags.clients), Number(flags.every)]

interface Figure {
  readonly seconds: number
  readonly requests: number
  readonly tokensPerSecond: number
  /** Of the server's processor time: what others do on the machine counts less. */
  readonly tokensPerCpuSecond: number
  /** Median of the interval. */
  readonly residentMB: number
  /** At its end, MB: resident pages of files (weights, mapped), JavaScript's heap in use and reserved, buffers outside it, and the cache. */
  readonly at: Readonly<Record<'files' | 'heapUsed' | 'heapTotal' | 'external' | 'cache' | 'kept', number>>
  readonly load: number
}

/** Flags of Node with which a process tells its memory now and then on stderr. */
const tell = 'setInterval(() => process.stderr.write("memory " + JSON.stringify(process.memoryUsage()) + "\\n"), 5000).unref()'
const telling = ['--import', `data:text/javascript,${encodeURIComponent(tell)}`]
const mb = 2 ** 20

async function memoryAt(server: ServerProcess): Promise<Figure['at']> {
  const lines = server.output.stderr.split('\n').filter((line) => line.startsWith('memory {'))
  const { heapUsed, heapTotal, external } = JSON.parse(lines.at(-1)!.slice(7)) as NodeJS.MemoryUsage
  const { parscale_cache_bytes: cache, parscale_kept_bytes: kept } = await server.metrics([
    'parscale_cache_bytes',
    'parscale_kept_bytes',
  ])
  const [, filesKiB] = /^RssFile:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))!
  return {
    ...{ files: Number(filesKiB) / 1024, heapUsed: heapUsed / mb, heapTotal: heapTotal / mb },
    ...{ external: external / mb, cache: cache / mb, kept: kept / mb },
  }
}

const folder = mkdtempSync(join(tmpdir(), 'parscale-load-'))
const figures: Figure[] = []
const counts: MixedCounts = { requests: 0, tokens: 0, aborted: 0, faults: [] }
try {
  const server = await startServer(mixedModels(folder), { node: telling })
  let ended = false
  const load = mixedLoad(server.url, clients, counts, () => ended)
  const started = performance.now()
  const pid = server.child.pid!
  let [before, since, cpuBefore, resident] = [{ ...counts }, started, cpuSeconds(pid), [] as number[]]
  while (performance.now() - started < minutes * 60_000) {
    await new Promise((resolve) => setTimeout(resolve, 500))
    resident.push(residentBytes(pid) / 2 ** 20)
    const now = performance.now()
    if (now - since < every * 1000) continue
    const [tokens, cpu] = [counts.tokens - before.tokens, cpuSeconds(pid)]
    figures.push({
      seconds: Math.round((now - started) / 1000),
      requests: counts.requests - before.requests,
      tokensPerSecond: (1000 * tokens) / (now - since),
      tokensPerCpuSecond: tokens / (cpu - cpuBefore),
      residentMB: spreadOf(resident).median,
      at: await memoryAt(server),
      load: loadavg()[0]!,
    })
    const { seconds, requests, tokensPerSecond, tokensPerCpuSecond, residentMB, at } = figures.at(-1)!
    const parts = Object.entries(at).map(([what, value]) => `${what} ${value.toFixed(1)}`)
    process.stderr.write(
      `${seconds} s: ${requests} requests, ${tokensPerSecond.toFixed(1)} tokens/s, ${tokensPerCpuSecond.toFixed(1)} a second of processor time, ${residentMB.toFixed(1)} MB: ${parts.join(', ')}\n`,
    )
    ;[before, since, cpuBefore, resident] = [{ ...counts }, now, cpu, []]
  }
  ended = true
  await load
} finally {
  killServers()
  rmSync(folder, { recursive: true })
}

/** MB a minute, by least squares. */
function slope(some: readonly Figure[]): number {
  const mean = (value: (figure: Figure) => number) => some.reduce((sum, one) => sum + value(one), 0) / some.length
  const [minute, resident] = [mean(({ seconds }) => seconds / 60), mean(({ residentMB }) => residentMB)]
  const [over, under] = some.reduce(
    ([over, under], { seconds, residentMB }) => {
      const apart = seconds / 60 - minute
      return [over + apart * (residentMB - resident), under + apart * apart]
    },
    [0, 0],
  )
  return over / under
}

const [first, last] = [figures[0]!, figures.at(-1)!]
const apart = (last.seconds - first.seconds) / 60
const result = {
  ...{ clients, requests: counts.requests, aborted: counts.aborted, faults: counts.faults, figures },
  tokensRatio: last.tokensPerSecond / first.tokensPerSecond,
  cpuRatio: last.tokensPerCpuSecond / first.tokensPerCpuSecond,
  residentMBPerMinute: (last.residentMB - first.residentMB) / apart,
  /** Of the second half alone: what a process takes until it is warm is no growth. */
  lateMBPerMinute: slope(figures.slice(Math.floor(figures.length / 2))),
}
if (flags.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
else
  process.stdout.write(
    `${counts.requests} requests of ${clients} clients, ${counts.aborted} left, ${counts.faults.length} faults; last against first: tokens/s ${result.tokensRatio.toFixed(3)}x, of processor time ${result.cpuRatio.toFixed(3)}x, resident ${first.residentMB.toFixed(1)} to ${last.residentMB.toFixed(1)} MB, ${result.residentMBPerMinute.toFixed(2)} MB a minute, in the second half ${result.lateMBPerMinute.toFixed(2)}\n`,
  )
for (const fault of counts.faults) process.stderr.write(`${fault}\n`)
if (counts.faults.length > 0) process.exitCode = 1
