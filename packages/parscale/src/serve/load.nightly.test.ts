/** Minutes of a mixed load: no fault, and memory that stays. `npm run bench:load` is the long form, with speed. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, expect, it } from 'vitest'
import { type MixedCounts, mixedLoad, mixedModels, residentBytes } from './testing/mixed-load.ts'
import { killServers, startServer } from './testing/server-process.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-load-'))
afterAll(() => {
  killServers()
  rmSync(folder, { recursive: true })
})

/** By requests, not by time: what grows with them grows as much on a slow machine. */
it.skipIf(process.platform !== 'linux')('takes no more memory after 4,000 requests than after 2,000', async () => {
  const { child, url } = await startServer(mixedModels(folder))
  const counts: MixedCounts = { requests: 0, tokens: 0, aborted: 0, faults: [] }
  const upTo = async (requests: number) => {
    await mixedLoad(url, 8, counts, () => counts.requests >= requests)
    return residentBytes(child.pid!) / 2 ** 20
  }
  const before = await upTo(2000)
  const after = await upTo(4000)
  expect(counts.faults).toEqual([])
  expect(counts.aborted).toBeGreaterThan(400)
  // 20 kB a request: the heap is not swept at the same moments.
  expect(after - before).toBeLessThan(40)
})
