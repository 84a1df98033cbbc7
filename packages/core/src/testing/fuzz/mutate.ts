/**
 * Files from a hostile hand: valid ones with bytes changed, spliced, cut and repeated, lengths that lie, numbers at their
 * extremes, JSON with keys taken out, doubled and nested. What comes of a seed is the same on every platform.
 */
import { join, u32, u64, utf8 } from '../../checkpoint/testing/bytes.ts'
import type { Random } from '../../random.ts'

const telling = [0n, 1n, 7n, 255n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
const words = [
  '{',
  '}',
  '[',
  ']',
  '"',
  '\\',
  ',',
  '-1',
  '1e99',
  'null',
  '"a":',
  '../',
  '0',
  '\0',
  '{{',
  '%}',
  '=',
  '\n',
  '\u202e',
]
const pieces = [...telling.map(u64), ...telling.map((value) => u32(Number(BigInt.asUintN(32, value)))), ...words.map(utf8)]
const numbers = ['0', '-1', '1e99', '-0.5', '4294967296', '9007199254740993', '1e-320', '99999999999999999999']
const strings = [
  '',
  '__proto__',
  'constructor',
  '(',
  '(a+)+$',
  '\ud800',
  '../../x',
  'NaN',
  '\u0000',
  '\u001b[31m',
  'ByteLevel',
  'Sequence',
]
const deepest = 40

/** @param seeds valid files of one format; the result differs from one of them in one to four places */
export function mutate(seeds: readonly Uint8Array[], random: Random): Uint8Array {
  const pick = <T>(list: readonly T[]): T => list[random.below(list.length)] as T
  let bytes = pick(seeds)
  const edits = 1 + random.below(4)
  // Bytes at random rarely leave JSON intact: half of the files are changed as what they say.
  const json = random.below(2) === 0 ? parsed(bytes) : undefined
  if (json !== undefined) {
    let value: unknown = json
    for (let i = 0; i < edits; i++) value = changed(value, random)
    const text = JSON.stringify(value) ?? 'null'
    return utf8(random.below(8) === 0 ? withKeyTwice(text, random) : text)
  }
  for (let i = 0; i < edits; i++) bytes = edited(bytes, pick(seeds), random)
  return bytes
}

function edited(bytes: Uint8Array, other: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.length + 1)
  const some = 1 + random.below(16)
  const before = bytes.subarray(0, at)
  const piece = random.below(2) === 0 ? pieces[random.below(pieces.length)]! : noise(1 + random.below(8), random)
  switch (random.below(10)) {
    case 0: {
      const copy = new Uint8Array(bytes) // slice() of a Buffer is no copy
      if (at < copy.length) copy[at]! ^= 1 << random.below(8)
      return copy
    }
    case 1:
      return join(before, piece, bytes.subarray(at))
    case 2:
      return join(before, bytes.subarray(at + some))
    case 3:
      return before
    case 4:
      return join(before, other.subarray(random.below(other.length + 1)))
    case 5:
      return join(bytes.subarray(0, at + some), bytes.subarray(at))
    case 6: {
      // Formats keep their lengths and counts in front, or at the end.
      const place = random.below(2) === 0 ? 4 * random.below(8) : Math.max(0, bytes.length - 4 * (1 + random.below(10)))
      return overwritten(bytes, place, pieces[random.below(2 * telling.length)]!)
    }
    case 7:
      return withNumber(bytes, at, utf8(numbers[random.below(numbers.length)]!))
    default:
      return overwritten(bytes, at, piece)
  }
}

const overwritten = (bytes: Uint8Array, at: number, piece: Uint8Array): Uint8Array =>
  join(bytes.subarray(0, at), piece, bytes.subarray(at + piece.length))

/** Another number in place of the first one, in digits, from `at` on. */
function withNumber(bytes: Uint8Array, at: number, number: Uint8Array): Uint8Array {
  const isDigit = (i: number) => bytes[i]! >= 0x30 && bytes[i]! <= 0x39
  let start = at
  while (start < bytes.length && !isDigit(start)) start++
  let end = start
  while (end < bytes.length && isDigit(end)) end++
  return join(bytes.subarray(0, start), number, bytes.subarray(end))
}

function noise(length: number, random: Random): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256))
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}

/** A copy in which one value, found by a walk from the top, is another, is gone, has a sibling's place or lies deeper. */
function changed(json: unknown, random: Random): unknown {
  if (typeof json !== 'object' || json === null || random.below(5) === 0) return replaced(json, random)
  const keys = Object.keys(json)
  if (keys.length === 0) return replaced(json, random)
  const key = keys[random.below(keys.length)]!
  const value = (json as Record<string, unknown>)[key]
  const entries = Object.entries(json)
  const at = keys.indexOf(key)
  const way = random.below(8)
  if (way === 0) entries.splice(at, 1)
  else if (way === 1) entries[at] = [strings[random.below(strings.length)]!, value]
  else if (way === 2) entries[at] = [key, (json as Record<string, unknown>)[keys[random.below(keys.length)]!]]
  else entries[at] = [key, changed(value, random)]
  return Array.isArray(json) ? entries.map(([, item]) => item) : Object.fromEntries(entries)
}

function replaced(value: unknown, random: Random): unknown {
  switch (random.below(7)) {
    case 0:
      return Number(numbers[random.below(numbers.length)])
    case 1:
      return strings[random.below(strings.length)]
    case 2:
      return [null, true, false, [], {}][random.below(5)]
    case 3: {
      let deep = value
      for (let depth = 1 + random.below(deepest); depth > 0; depth--) deep = random.below(2) === 0 ? [deep] : { a: deep }
      return deep
    }
    case 4:
      return [value, value]
    case 5:
      return typeof value === 'number' ? -value - random.below(3) : String(value)
    default:
      return typeof value === 'string' ? value.slice(random.below(value.length + 1)) : value
  }
}

/** The first key of some object once more, with another value. */
function withKeyTwice(text: string, random: Random): string {
  const from = random.below(text.length)
  const key = /\{("(?:[^"\\]|\\.)*"):/.exec(text.slice(from)) ?? /\{("(?:[^"\\]|\\.)*"):/.exec(text)
  return key ? text.replace(key[0], `{${key[1]}:${numbers[random.below(numbers.length)]},${key[1]}:`) : text
}
