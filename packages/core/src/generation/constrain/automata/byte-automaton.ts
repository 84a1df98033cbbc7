/**
 * An automaton over code points, spelled in bytes: UTF-8 as it is, or as the inside of a JSON string with its escapes and its
 * closing quote. States below `characters` are those of the automaton over code points; the others lie inside a character or
 * behind the closing quote.
 */
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { type CharacterAutomaton, distances, isHalves, stateCount } from './character-automaton.ts'
import { largestCodePoint } from './ranges.ts'

export interface ByteAutomaton {
  readonly id: number
  /** [256] */
  readonly classOf: Uint8Array
  readonly classes: number
  /** [states, classes]: the next state, -1 where there is none. Each state can reach an end. */
  readonly next: Int32Array
  /** [states]: the label of a text that ends here, -1 where none may. */
  readonly labels: Int32Array
  readonly characters: number
  /** [states]: characters that a text still needs at least, an unfinished one included; and may have at most. */
  readonly least: Float64Array
  readonly most: Float64Array
  /** [states]: bytes up to the nearest end. */
  readonly bytes: Float64Array
  /** The state, if any, from which every text of a JSON string is accepted with this label, and what follows is `freeString`. */
  readonly free?: { readonly state: number; readonly label: number }
}

type Row = readonly (readonly [low: number, high: number, to: number])[]

export interface SpellOptions {
  /** The inside of a JSON string, up to and with its closing quote. Default: UTF-8. */
  readonly json?: boolean
}

let made = 0
const shortEscapes: readonly (readonly [code: number, letter: number])[] = [
  [0x22, 0x22],
  [0x5c, 0x5c],
  [0x2f, 0x2f],
  [8, 0x62],
  [12, 0x66],
  [10, 0x6e],
  [13, 0x72],
  [9, 0x74],
]

/** @param automaton of texts without halves of surrogate pairs @param what names it in errors */
export function* spell(
  automaton: CharacterAutomaton,
  what: string,
  budget: Budget,
  { json = false }: SpellOptions = {},
): Pieces<ByteAutomaton> {
  const { breaks, next, labels } = automaton
  const characters = stateCount(automaton)
  const width = breaks.length
  const rows: Row[] = Array.from({ length: characters }, () => [])
  const terminals = new Map<number, number>()
  const allLabels: number[] = Array.from(labels, (label) => (json ? -1 : label))
  const known = new Map<string, number>()

  function node(row: Row): number {
    budget.count(4 + 2 * row.length)
    const key = row.join(';')
    const found = known.get(key)
    if (found !== undefined) return found
    if (rows.length >= limits.byteStates) throw tooMuch(what, 'states', limits.byteStates)
    known.set(key, rows.length)
    allLabels.push(-1)
    return rows.push(row) - 1
  }

  function terminal(label: number): number {
    let state = terminals.get(label)
    if (state === undefined) {
      state = rows.push([]) - 1
      allLabels.push(label)
      terminals.set(label, state)
    }
    return state
  }

  /** Ranges of code points and where they lead, ascending, neighbours with one target joined. */
  function rangesOf(state: number): Row {
    const result: [number, number, number][] = []
    for (let c = 0; c < width; c++) {
      const to = next[state * width + c]!
      if (to < 0) continue
      const low = breaks[c]!
      const high = c + 1 < width ? breaks[c + 1]! - 1 : largestCodePoint
      const last = result[result.length - 1]
      if (last && last[2] === to && last[1] === low - 1) last[1] = high
      else result.push([low, high, to])
    }
    return result
  }

  /** Continuation bytes for code points from `low`, `bits` of which are still to come; -1 where no range has any. */
  function continuation(ranges: Row, low: number, bits: number): number {
    const size = 1 << bits
    const inside = ranges.filter(([a, b]) => b >= low && a < low + size)
    if (inside.length === 0) return -1
    if (inside.length === 1 && inside[0]![0] <= low && inside[0]![1] >= low + size - 1) {
      const to = inside[0]![2]
      return node([[0x80, 0xbf, bits === 6 ? to : continuation(inside, low, bits - 6)]])
    }
    const row: [number, number, number][] = []
    for (let i = 0; i < 64; i++) {
      budget.count(inside.length)
      const from = low + (i << (bits - 6))
      const to = bits === 6 ? (inside.find(([a, b]) => a <= from && b >= from)?.[2] ?? -1) : continuation(inside, from, bits - 6)
      add(row, 0x80 + i, to)
    }
    return row.length > 0 ? node(row) : -1
  }

  function utf8(ranges: Row, row: [number, number, number][]): void {
    // Surrogates have no UTF-8, and neither has what a shorter form would say.
    const scalar = (low: number, high: number): Row =>
      ranges
        .filter(([a, b]) => b >= low && a <= high)
        .flatMap(([a, b, to]): Row => {
          const clipped: [number, number, number] = [Math.max(a, low), Math.min(b, high), to]
          if (clipped[1] < 0xd800 || clipped[0] > 0xdfff) return [clipped]
          return [[clipped[0], 0xd7ff, to] as const, [0xe000, clipped[1], to] as const].filter(
            ([x, y]) => x! <= y!,
          ) as unknown as Row
        })
    const two = scalar(0x80, 0x7ff)
    const three = scalar(0x800, 0xffff)
    const four = scalar(0x10000, largestCodePoint)
    for (let lead = 0xc2; lead < 0xe0 && two.length > 0; lead++) add(row, lead, continuation(two, (lead & 0x1f) << 6, 6))
    for (let lead = 0xe0; lead < 0xf0 && three.length > 0; lead++) add(row, lead, continuation(three, (lead & 0x0f) << 12, 12))
    for (let lead = 0xf0; lead < 0xf5 && four.length > 0; lead++) add(row, lead, continuation(four, (lead & 0x07) << 18, 18))
  }

  function escapes(ranges: Row, at: (code: number) => number): number {
    const row: [number, number, number][] = []
    for (const [code, letter] of shortEscapes) add(row, letter, at(code))
    const all = ranges.length === 1 && ranges[0]![0] === 0 && ranges[0]![1] === largestCodePoint
    add(row, 0x75, all ? anyHex(ranges[0]![2]) : controlHex(at))
    return row.length > 0 ? node(row.sort((a, b) => a[0] - b[0])) : -1
  }

  const hexRow = (to: (digit: number) => number): number => {
    const row: [number, number, number][] = []
    for (let digit = 0; digit < 10; digit++) add(row, 0x30 + digit, to(digit))
    for (const first of [0x41, 0x61]) for (let digit = 10; digit < 16; digit++) add(row, first + digit - 10, to(digit))
    return row.length > 0 ? node(row) : -1
  }

  /** `\u00XX` for the characters that have to be escaped. */
  function controlHex(at: (code: number) => number): number {
    const low = [0, 1].map((high) => hexRow((digit) => at(high * 16 + digit)))
    const third = hexRow((digit) => low[digit] ?? -1)
    const second = third < 0 ? -1 : node([[0x30, 0x30, third]])
    return second < 0 ? -1 : node([[0x30, 0x30, second]])
  }

  /** Any `\uXXXX`; a high surrogate needs its low one behind it. */
  function anyHex(to: number): number {
    const one = hexRow(() => to)
    const two = hexRow(() => one)
    const three = hexRow(() => two)
    const lowPair = hexRow((digit) => (digit === 13 ? hexRow((d) => (d >= 12 ? two : -1)) : -1))
    const slash = node([[0x5c, 0x5c, node([[0x75, 0x75, lowPair]])]])
    const high = hexRow(() => hexRow(() => slash))
    const surrogates = hexRow((digit) => (digit < 8 ? two : digit < 12 ? high : -1))
    return hexRow((digit) => (digit === 13 ? surrogates : three))
  }

  for (let state = 0; state < characters; state++) {
    if (budget.spend(width + 64)) yield
    const ranges = rangesOf(state)
    const row: [number, number, number][] = []
    const ascii = new Int32Array(0x80).fill(-1)
    for (const [low, high, to] of ranges) if (low < 0x80) ascii.fill(to, low, Math.min(high + 1, 0x80))
    const at = (code: number): number => ascii[code]!
    for (let byte = json ? 0x20 : 0; byte < 0x80; byte++) {
      if (json && byte === 0x22) add(row, byte, labels[state]! >= 0 ? terminal(labels[state]!) : -1)
      else if (json && byte === 0x5c) add(row, byte, escapes(ranges, at))
      else add(row, byte, at(byte))
    }
    utf8(ranges, row)
    rows[state] = row
  }

  return {
    ...(yield* tables(rows, allLabels, characters, what, budget)),
    ...(yield* measures(automaton, rows, allLabels, budget)),
    ...freeOf(automaton, json),
  }
}

/** Adds a byte to an ascending row. */
function add(row: [number, number, number][], byte: number, to: number): void {
  if (to < 0) return
  const last = row[row.length - 1]
  if (last && last[2] === to && last[1] === byte - 1) last[1] = byte
  else row.push([byte, byte, to])
}

function* tables(
  rows: readonly Row[],
  labels: readonly number[],
  characters: number,
  what: string,
  budget: Budget,
): Pieces<Pick<ByteAutomaton, 'id' | 'classOf' | 'classes' | 'next' | 'labels' | 'characters'>> {
  const starts = new Set<number>([0])
  for (const row of rows) {
    for (const [low, high] of row) {
      starts.add(low)
      if (high < 255) starts.add(high + 1)
    }
  }
  const sorted = [...starts].sort((a, b) => a - b)
  const classOf = new Uint8Array(256)
  for (let byte = 0, c = -1; byte < 256; byte++) {
    if (starts.has(byte)) c++
    classOf[byte] = c
  }
  const classes = sorted.length
  if (budget.spend(rows.length * classes)) yield
  if (rows.length * classes > limits.cells) throw tooMuch(what, 'transitions', limits.cells)
  const next = new Int32Array(rows.length * classes).fill(-1)
  for (const [s, row] of rows.entries()) {
    if (budget.pass(1 + row.length)) yield
    for (const [low, high, to] of row) next.fill(to, s * classes + classOf[low]!, s * classes + classOf[high]! + 1)
  }
  return { id: made++, classOf, classes, next, labels: Int32Array.from(labels), characters }
}

function* measures(
  automaton: CharacterAutomaton,
  rows: readonly Row[],
  labels: readonly number[],
  budget: Budget,
): Pieces<Pick<ByteAutomaton, 'least' | 'most' | 'bytes'>> {
  const count = rows.length
  const own = yield* distances(automaton, budget)
  const least = new Float64Array(count)
  const most = new Float64Array(count)
  const bytes = new Float64Array(count).fill(Infinity)
  least.set(own.least)
  most.set(own.most)
  const into: number[][] = Array.from({ length: count }, () => [])
  for (const [s, row] of rows.entries()) {
    if (budget.pass(1 + row.length)) yield
    for (const [, , to] of row) into[to]!.push(s)
  }
  const queue: number[] = []
  for (let s = 0; s < count; s++) {
    if (labels[s]! < 0) continue
    bytes[s] = 0
    queue.push(s)
  }
  for (const s of queue) {
    for (const source of into[s]!) {
      if (bytes[source]! < Infinity) continue
      bytes[source] = bytes[s]! + 1
      queue.push(source)
    }
  }
  // Inside a character: what its possible ends need, and the character itself. Deeper states were made first.
  const characters = own.least.length
  const done = new Uint8Array(count)
  const inner = (s: number): void => {
    if (s < characters || done[s]) return
    done[s] = 1
    if (rows[s]!.length === 0) return
    least[s] = Infinity
    for (const [, , to] of rows[s]!) {
      inner(to)
      const step = to < characters ? 1 : 0
      least[s] = Math.min(least[s]!, least[to]! + step)
      most[s] = Math.max(most[s]!, most[to]! + step)
    }
  }
  for (let s = characters; s < count; s++) {
    if (budget.pass(8)) yield
    inner(s)
  }
  return { least, most, bytes }
}

function freeOf({ breaks, next, labels }: CharacterAutomaton, json: boolean): Pick<ByteAutomaton, 'free'> {
  if (!json) return {}
  const width = breaks.length
  for (let s = 0; s < labels.length; s++) {
    if (labels[s]! >= 0 && next.subarray(s * width, (s + 1) * width).every((to, c) => to === s || isHalves(breaks, c)))
      return { free: { state: s, label: labels[s]! } }
  }
  return {}
}

export function step(automaton: ByteAutomaton, state: number, byte: number): number {
  return automaton.next[state * automaton.classes + automaton.classOf[byte]!]!
}
