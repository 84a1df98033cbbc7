/**
 * Repository ids, revisions and file names. All three become paths on this machine, and two of them may come from a
 * server: whatever could leave the cache folder is refused here, before any path is joined.
 */
import { hubError, usageError } from '@parscale/core/internal'

/** `ORG/NAME`, or a bare `NAME` as the oldest models of the hub have. */
const repoIdPattern = /^[A-Za-z0-9][\w.-]*(\/[A-Za-z0-9][\w.-]*)?$/
const revisionPattern = /^[A-Za-z0-9_][\w.+-]*(\/[A-Za-z0-9_][\w.+-]*)*$/
const maxRepoIdLength = 96 // as the hub itself enforces
const maxRevisionLength = 255

/** True for `ORG/NAME` as the hub spells it. `--` is refused since it separates the parts in the cache folder's name. */
export function isRepoId(text: string): boolean {
  return repoIdPattern.test(text) && text.length <= maxRepoIdLength && !/\.\.|--|[.-]$|[.-]\//.test(text)
}

/** @throws usage error when `text` is no repository id. */
export function checkRepoId(text: string): string {
  if (isRepoId(text)) return text
  throw usageError(
    `model name: expected ORG/NAME as on the hub (letters, digits, '_', '-', '.'; at most ${maxRepoIdLength} characters), got ${quote(text)}`,
    { flag: 'MODEL', found: text },
  )
}

/** A branch, tag, `refs/pr/N` or commit. @throws usage error when `text` is none. */
export function checkRevision(text: string): string {
  if (revisionPattern.test(text) && text.length <= maxRevisionLength && !text.includes('..')) return text
  throw usageError(`--revision: expected a branch, tag or commit such as main or v1.0, got ${quote(text)}`, {
    flag: '--revision',
    found: text,
  })
}

/** True for a full commit id: 40 hexadecimal digits, in lower case as git writes them. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

/** True for a relative path of plain segments joined by `/`, safe to join under a folder on every platform. */
export function isSafeFileName(name: string): boolean {
  // Characters that a terminal acts on, Windows' separator and drives, names that are too long for any file system.
  if (name === '' || name.length > 1024 || unprintable.test(name) || /\\|^[A-Za-z]:/.test(name)) return false
  return name.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && part.length <= 255)
}

/** Refuses a file name from a server that could be written outside the cache. @throws hub error. */
export function checkFileName(name: string, from: string): string {
  if (isSafeFileName(name)) return name
  throw hubError(`${from}: expected plain relative file names, got ${quote(name)}; refused, nothing was written for it`, {
    file: name,
    expected: 'a relative path without "..", control characters or drive letters',
    found: name,
  })
}

/** Control characters (ESC and CSI among them), what turns or hides text, line separators, halves of surrogate pairs. */
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/** Foreign text for a message: what is unprintable is escaped, so that it cannot drive a terminal; cut to a readable length. */
export function quote(text: string): string {
  const shown = text.length > 200 ? `${text.slice(0, 200)}...` : text
  return JSON.stringify(shown).replace(new RegExp(unprintable, 'gu'), escaped)
}

/** As JSON spells it, in UTF-16 units. */
const escaped = (character: string): string =>
  character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('')
