/** JSON from files that may be damaged or hostile: UTF-8 must be valid and no object may name a key twice. */
import { checkpointError, isParscaleError } from '../errors.ts'

/**
 * Parses UTF-8 bytes as JSON.
 *
 * @param where begins the message: the file, and the part of it
 * @throws checkpoint error on invalid UTF-8, invalid JSON, repeated keys and deep nesting
 */
export function parseJsonBytes(bytes: Uint8Array, where: string): unknown {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw checkpointError(`${where} is not valid UTF-8; the file is damaged or not what its name says`, { file: where, cause })
  }
  return parseJsonText(text, where)
}

/** As parseJsonBytes, for text. */
export function parseJsonText(text: string, where: string): unknown {
  try {
    checkStructure(text, where)
    return JSON.parse(text)
  } catch (cause) {
    if (isParscaleError(cause)) throw cause
    throw checkpointError(`${where} is not valid JSON: ${(cause as Error).message}`, { file: where, cause })
  }
}

/** Deepest nesting accepted: real files need four. Each level costs an object, many times the byte that opens it. */
const maxDepth = 32

/** Refuses repeated keys, of which JSON.parse would silently keep the last, and depth. Of invalid JSON it may say either. */
function checkStructure(text: string, where: string): void {
  // One entry per open bracket: the keys so far of an object, undefined for an array.
  const open: (Set<string> | undefined)[] = []
  let expectsKey = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '{' || char === '[') {
      expectsKey = char === '{'
      open.push(expectsKey ? new Set() : undefined)
      if (open.length > maxDepth) throw checkpointError(`${where} is nested more than ${maxDepth} deep`, { file: where })
    } else if (char === '}' || char === ']') {
      open.pop()
      expectsKey = false
    } else if (char === ',') {
      expectsKey = open.at(-1) !== undefined
    } else if (char === '"') {
      const start = i
      i = endOfString(text, start)
      if (!expectsKey) continue
      expectsKey = false
      const spelled = text.slice(start + 1, i)
      const key = spelled.includes('\\') ? (JSON.parse(`"${spelled}"`) as string) : spelled
      const keys = open.at(-1)
      if (keys?.has(key)) {
        throw checkpointError(`${where} names ${JSON.stringify(key)} twice in one object; which one counts is anybody's guess`, {
          file: where,
          found: key,
        })
      }
      keys?.add(key)
    }
  }
}

/** Index of the closing quote, or the end of a text that lacks it. A quote behind an odd number of backslashes closes nothing. */
function endOfString(text: string, start: number): number {
  for (let end = start; ; ) {
    end = text.indexOf('"', end + 1)
    if (end < 0) return text.length
    let backslashes = 0
    while (text[end - 1 - backslashes] === '\\') backslashes++
    if (backslashes % 2 === 0) return end
  }
}

/** True for what JSON calls an object: not null, not an array. */
export const isJsonObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** As Hugging Face writes its JSON files. */
export const jsonBytes = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)
