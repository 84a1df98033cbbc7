/** Checks free disk space before a download, and names the error when the disk fills up during one. */
import { statfs } from 'node:fs/promises'
import { resourceError } from '@parscale/core/internal'
import { type DiskAdvice, diskError } from '@parscale/core/internal/node'
import { formatAmount } from '../terminal/progress.ts'

/** Bytes that this user may still write on the file system of `folder`. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/** @throws resource error when fewer than `neededBytes` are free where `folder` lies. */
export async function checkFreeSpace(folder: string, neededBytes: number): Promise<void> {
  const free = await freeBytes(folder)
  if (free >= neededBytes) return
  throw resourceError(
    `${folder}: ${formatAmount(neededBytes, 'B')} still to download, ${formatAmount(free, 'B')} free; make room or set HF_HUB_CACHE to another disk`,
    { file: folder, expected: neededBytes, found: free },
  )
}

/** What to do about a cache folder that has no room or cannot be written. */
export const cacheAdvice: DiskAdvice = {
  full: 'make room or set HF_HUB_CACHE to another disk, then run again: what is there is kept and resumed',
  denied: 'check that the folder belongs to you, or set HF_HUB_CACHE to another one',
  deniedKind: 'resource',
}

/** Waits for what is written to `path`. @throws as diskError */
export const writing = <T>(path: string, work: Promise<T>): Promise<T> =>
  work.catch((error) => {
    throw diskError(error, path, cacheAdvice)
  })
