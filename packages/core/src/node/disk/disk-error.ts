/** Errors of the file system while something is written, as errors that name the file and say what to do. */
import { constants } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { isParscaleError, ParscaleError } from '../../errors.ts'
import { partialPrefix } from './partial.ts'

/** What more room would cure. */
const full: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the largest size of a file is reached',
}
/** The machine fails; another path would not help. */
const failing = new Set(['EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ESTALE'])

export interface DiskAdvice {
  /** What to do where there is no room; follows "the disk is full; ". */
  readonly full: string
  /** What to do where the path cannot be written; follows "cannot be written (EACCES); ". */
  readonly denied: string
  /** Kind of the error for a path that cannot be written. Default usage. */
  readonly deniedKind?: 'usage' | 'resource'
  /** The flag that named the path. */
  readonly flag?: string
}

/** For PARSCALE_CACHE. */
export const cacheAdvice: DiskAdvice = {
  full: 'nothing was left behind. Free some space or set PARSCALE_CACHE to a folder on another disk',
  denied: 'set PARSCALE_CACHE to a folder that can',
}

/**
 * The error to throw when writing `path` failed with `error`: of kind resource for a full or failing disk, `deniedKind` for a
 * path that cannot be written. Errors of this library and errors that are not about this path come back as they are.
 */
export function diskError(error: unknown, path: string, advice: DiskAdvice): unknown {
  // Copies, links and renames name what they read as `path`, and what they write as `dest`.
  const { syscall, path: at, dest } = error as NodeJS.ErrnoException & { readonly dest?: string }
  const code = codeOf(error as NodeJS.ErrnoException)
  if (isParscaleError(error) || code === undefined || syscall === undefined || syscall === 'read') return error
  if (at !== undefined && ![at, dest].some((each) => each !== undefined && concerns(each, path))) return error
  const name = advice.flag === undefined ? path : `--${advice.flag} ${path}`
  const facts = { file: path, flag: advice.flag, found: code, cause: error }
  if (code in full) return new ParscaleError('resource', `${name}: ${full[code]}; ${advice.full}`, facts)
  const kind = failing.has(code) ? 'resource' : (advice.deniedKind ?? 'usage')
  return new ParscaleError(kind, `${name}: cannot be written (${code}); ${advice.denied}`, facts)
}

/** Whether diskError made this of the file system's error: something could not be written. */
export function isDiskError(error: unknown): error is ParscaleError {
  if (!isParscaleError(error)) return false
  const { file, found, cause } = error.facts
  return file !== undefined && found !== undefined && cause instanceof Error && codeOf(cause) === found
}

/** libuv has no name for EDQUOT: Node says "Unknown system error -122". */
function codeOf({ code, errno }: NodeJS.ErrnoException): string | undefined {
  return errno !== undefined && -errno === constants.errno.EDQUOT ? 'EDQUOT' : code
}

/** True for the path itself, what lies in it, the folders above it and the partial file beside it. */
function concerns(at: string, path: string): boolean {
  const [found, target] = [resolve(at), resolve(path)]
  return found.startsWith(target) || target.startsWith(found) || found.startsWith(join(dirname(target), partialPrefix(target)))
}
