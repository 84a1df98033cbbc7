/** File names from what people write: files, folders, and patterns with `*`, `**`, `?`, `[a-z]` and `{a,b}`. */
import { readdir, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { usageError } from '../../errors.ts'

/**
 * Files that a name stands for: a file itself; of a folder, all files in it and below that `isWanted`; of a pattern, all
 * that match. Hidden ones are left out unless the pattern names the dot. Sorted, so that their order is always the same.
 *
 * @throws usage error where nothing is found
 */
export async function matchingFiles(name: string, isWanted: (path: string) => boolean): Promise<string[]> {
  const found = await stat(name).catch(() => undefined)
  if (found?.isFile()) return [name]
  const { base, matches } = found ? { base: name, matches: visibleIn(isWanted) } : parsePattern(name)
  const entries = (await readdir(base, { recursive: true }).catch(() => [])).map((entry) => entry.replaceAll(sep, '/'))
  const paths = entries.filter(matches).map((entry) => join(base, entry))
  const files: string[] = []
  // stat and not the entry's type: in the hub's cache, files are links.
  for (const path of paths) if ((await stat(path).catch(() => undefined))?.isFile()) files.push(path)
  if (files.length > 0) return files.sort()
  if (found?.isDirectory())
    throw usageError(
      `${name}: the folder has no files of a kind that is read; name others by a pattern such as "${name}/**/*.md"`,
      {
        file: name,
      },
    )
  throw usageError(`${name}: no such files; expected a file, a folder or a pattern such as "data/**/*.jsonl"`, { file: name })
}

const visibleIn = (isWanted: (path: string) => boolean) => (entry: string) => !/(^|\/)\./.test(entry) && isWanted(entry)

/** The folder that a pattern begins with, and which entries below it match the rest. */
function parsePattern(pattern: string): { readonly base: string; readonly matches: (entry: string) => boolean } {
  const parts = pattern.replaceAll(sep, '/').split('/')
  const firstSpecial = parts.findIndex((part) => /[*?[{]/.test(part))
  const fixed = firstSpecial < 0 ? parts.length - 1 : firstSpecial
  const expression = expressionOf(parts.slice(fixed), pattern)
  const base = parts.slice(0, fixed).join('/') || (pattern.startsWith('/') ? '/' : '.')
  return { base, matches: (entry) => expression.test(entry) }
}

/** @throws usage error for a set such as [z-a] */
function expressionOf(parts: readonly string[], pattern: string): RegExp {
  try {
    return parsePatternParts(parts)
  } catch (cause) {
    throw usageError(`${pattern}: is no pattern of file names (${(cause as Error).message}); sets are written as [a-z]`, {
      file: pattern,
      found: pattern,
      cause,
    })
  }
}

function parsePatternParts(parts: readonly string[]): RegExp {
  const sources = parts.map((part, i) => {
    const isLast = i === parts.length - 1
    if (part === '**') return isLast ? `${visible}[^/]+(?:/${visible}[^/]+)*` : `(?:${visible}[^/]+/)*`
    return partSource(part) + (isLast ? '' : '/')
  })
  return new RegExp(`^${sources.join('')}$`, 'u')
}

const visible = '(?!\\.)'

/** One name's pattern as source of a regular expression. What is no whole set or choice stands for itself. */
function partSource(part: string): string {
  const source = part.replace(/\*+|\?|\[[^\]]+\]|\{[^{}]+\}|./gsu, (piece) => {
    if (piece.startsWith('*')) return '[^/]*'
    if (piece === '?') return '[^/]'
    if (piece.length > 2 && piece.startsWith('[')) return `[${piece.slice(1, -1).replace(/^!/, '^').replace(/[\\[]/g, '\\$&')}]`
    if (piece.length > 2 && piece.startsWith('{')) return `(?:${piece.slice(1, -1).split(',').map(partSource).join('|')})`
    return piece.replace(/[\\^$.*+?()[\]{}|/]/gu, '\\$&')
  })
  return part.startsWith('.') ? source : visible + source
}
