/** A full disk, seen before the first byte where possible, and named when it happens on the way. */
import { statfs } from 'node:fs/promises'
import { isParscaleError, type ParscaleError, resourceError } from '@parscale/core'
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

/** A failure of the file system while `path` was written, as the error to show. */
export function writeFailure(path: string, cause: unknown): ParscaleError {
  if (isParscaleError(cause)) return cause
  const { code = String(cause) } = cause as NodeJS.ErrnoException
  const advice =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? 'no space left; make room or set HF_HUB_CACHE to another disk, then run again: what is there is kept and resumed'
      : `cannot be written (${code}); check that the folder belongs to you, or set HF_HUB_CACHE to another one`
  return resourceError(`${path}: ${advice}`, { file: path, found: code, cause })
}
