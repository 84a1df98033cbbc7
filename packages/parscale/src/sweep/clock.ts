/** Whether this machine's clock is that of the folder's disk, by which processes on several machines see who is gone. */
import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { usageError } from '@parscale/core/internal'
import { diskError, writeWholeFile } from '@parscale/core/internal/node/disk'
import { sweepAdvice } from './journal.ts'

/** Locks of another machine count as left after a minute. */
const mostSkewMs = 10_000

/** @throws usage error where the clocks differ by more than ten seconds */
export async function requireClock(folder: string): Promise<void> {
  const probe = join(folder, `.clock-${randomUUID()}`)
  try {
    const before = Date.now()
    await writeWholeFile(probe, '', sweepAdvice)
    const { mtimeMs } = await stat(probe)
    const after = Date.now()
    const skewMs = mtimeMs < before ? mtimeMs - before : mtimeMs > after ? mtimeMs - after : 0
    if (Math.abs(skewMs) <= mostSkewMs) return
    const seconds = Math.abs(skewMs / 1000).toFixed(0)
    throw usageError(
      `${folder}: the clock of its disk is ${seconds} s ${skewMs > 0 ? 'ahead of' : 'behind'} that of ${hostname()}; set both by NTP, or workers take each other for gone`,
      { file: folder, found: skewMs },
    )
  } catch (error) {
    throw diskError(error, folder, sweepAdvice)
  } finally {
    await rm(probe, { force: true }).catch(() => {})
  }
}
