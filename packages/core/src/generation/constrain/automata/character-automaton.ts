/**
 * Deterministic automata over code points. Code points that no automaton tells apart share a class: class i is what lies from
 * `breaks[i]` up to `breaks[i + 1]`.
 */
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { largestCodePoint } from './ranges.ts'

export interface CharacterAutomaton {
  /** First code points of the classes, ascending from 0. */
  readonly breaks: readonly number[]
  /** [states, classes]: the next state, -1 where there is none. State 0 is the first. */
  readonly next: Int32Array
  /** [states]: -1, or what is known of a text that ends here. */
  readonly labels: Int32Array
}

export const stateCount = (automaton: CharacterAutomaton): number => automaton.labels.length

export function classOf(breaks: readonly number[], codePoint: number): number {
  let low = 0
  let high = breaks.length
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (breaks[middle]! <= codePoint) low = middle
    else high = middle
  }
  return low
}

/** One automaton that follows several at once. */
export interface ProductOptions {
  /** The label of a text, from those that the automata give it (-1: none). */
  readonly label: (labels: readonly number[]) => number
  /** Texts count only where all automata go on. Default: where any does. */
  readonly all?: boolean
}

/** @param what names it in errors */
export function* product(
  automata: readonly CharacterAutomaton[],
  { label, all = false }: ProductOptions,
  what: string,
  budget: Budget,
): Pieces<CharacterAutomaton> {
  const breaks = [...new Set(automata.flatMap((each) => each.breaks))].sort((a, b) => a - b)
  const classMaps = automata.map((each) => breaks.map((code) => classOf(each.breaks, code)))
  const ids = new Map<string, number>()
  const states: number[][] = []
  const idOf = (state: number[]): number => {
    const key = state.join()
    const found = ids.get(key)
    if (found !== undefined) return found
    if (states.length >= limits.patternStates) throw tooMuch(what, 'states', limits.patternStates)
    ids.set(key, states.length)
    return states.push(state) - 1
  }
  idOf(automata.map(() => 0))
  const next: number[] = []
  for (let s = 0; s < states.length; s++) {
    if (budget.spend(breaks.length * automata.length)) yield
    for (let c = 0; c < breaks.length; c++) {
      const state = states[s]!.map((each, i) => {
        const { next: table, breaks: own } = automata[i]!
        return each < 0 ? -1 : table[each * own.length + classMaps[i]![c]!]!
      })
      const dead = all ? state.some((each) => each < 0) : state.every((each) => each < 0)
      next.push(dead ? -1 : idOf(state))
    }
  }
  const labels = states.map((state) => label(state.map((each, i) => (each < 0 ? -1 : automata[i]!.labels[each]!))))
  return yield* pruned({ breaks, next: Int32Array.from(next), labels: Int32Array.from(labels) }, budget)
}

/** Texts of both, with the label of the first. */
export function* intersection(automata: readonly CharacterAutomaton[], what: string, budget: Budget): Pieces<CharacterAutomaton> {
  if (automata.length === 1) return automata[0]!
  return yield* product(automata, { all: true, label: (labels) => (labels.includes(-1) ? -1 : labels[0]!) }, what, budget)
}

/** All texts that are none of the automaton's. */
export function* negation(automaton: CharacterAutomaton, budget: Budget): Pieces<CharacterAutomaton> {
  const width = automaton.breaks.length
  const sink = stateCount(automaton)
  const next = new Int32Array((sink + 1) * width).fill(sink)
  automaton.next.forEach((to, i) => {
    if (to >= 0) next[i] = to
  })
  const labels = new Int32Array(sink + 1)
  automaton.labels.forEach((label, i) => {
    labels[i] = label >= 0 ? -1 : 0
  })
  return yield* pruned({ breaks: automaton.breaks, next, labels }, budget)
}

/** Takes out the ways that end nowhere, and the states that are not reached. */
export function* pruned({ breaks, next, labels }: CharacterAutomaton, budget: Budget): Pieces<CharacterAutomaton> {
  const width = breaks.length
  const count = labels.length
  const alive = Uint8Array.from(labels, (label) => (label >= 0 ? 1 : 0))
  const sources: number[][] = Array.from({ length: count }, () => [])
  for (let s = 0; s < count; s++) {
    if (budget.pass(width)) yield
    for (const to of new Set(next.subarray(s * width, (s + 1) * width))) if (to >= 0) sources[to]!.push(s)
  }
  const queue = [...alive.keys()].filter((s) => alive[s])
  for (const s of queue) {
    for (const source of sources[s]!) {
      if (alive[source]) continue
      alive[source] = 1
      queue.push(source)
    }
  }
  const renamed = new Int32Array(count).fill(-1)
  renamed[0] = 0
  const order = [0]
  for (const s of order) {
    if (budget.pass(width)) yield
    for (const to of next.subarray(s * width, (s + 1) * width)) {
      if (to >= 0 && alive[to] && renamed[to]! < 0) renamed[to] = order.push(to) - 1
    }
  }
  const table = new Int32Array(order.length * width)
  for (const [i, s] of order.entries()) {
    if (budget.pass(width)) yield
    for (let c = 0; c < width; c++) {
      const to = next[s * width + c]!
      table[i * width + c] = to >= 0 && alive[to] ? renamed[to]! : -1
    }
  }
  return { breaks, next: table, labels: Int32Array.from(order, (s) => labels[s]!) }
}

/** Whether a class has nothing but halves of surrogate pairs. */
export const isHalves = (breaks: readonly number[], c: number): boolean =>
  breaks[c]! >= 0xd800 && (breaks[c + 1] ?? Infinity) <= 0xe000

/** Halves of pairs alone are no text: what needs one has no way on. */
export function* withoutHalves(automaton: CharacterAutomaton, budget: Budget): Pieces<CharacterAutomaton> {
  const { breaks, next } = automaton
  const halves = breaks.map((_, c) => isHalves(breaks, c))
  if (!halves.includes(true)) return automaton
  return yield* pruned({ ...automaton, next: next.map((to, i) => (halves[i % breaks.length] ? -1 : to)) }, budget)
}

export const isEmpty = (automaton: CharacterAutomaton): boolean => !automaton.labels.some((label) => label >= 0)

/** Every text, with label 0. */
export const universal: CharacterAutomaton = { breaks: [0], next: Int32Array.of(0), labels: Int32Array.of(0) }

/** Just these texts, each with its index as label; of equal ones, the first. */
export function* textsAutomaton(texts: readonly string[], budget: Budget): Pieces<CharacterAutomaton> {
  const codes = new Set<number>([0])
  const labels = [-1]
  const edges: Map<number, number>[] = [new Map()]
  for (const [index, text] of texts.entries()) {
    if (budget.spend(4 + 4 * text.length)) yield
    let state = 0
    for (const character of text) {
      const code = character.codePointAt(0)!
      codes.add(code)
      if (code < largestCodePoint) codes.add(code + 1)
      let to = edges[state]!.get(code)
      if (to === undefined) {
        to = edges.push(new Map()) - 1
        labels.push(-1)
        edges[state]!.set(code, to)
      }
      state = to
    }
    if (labels[state]! < 0) labels[state] = index
  }
  const breaks = [...codes].sort((a, b) => a - b)
  if (labels.length * breaks.length > limits.cells) throw tooMuch('a list of texts', 'transitions', limits.cells)
  if (budget.spend(labels.length + (labels.length * breaks.length) / 16)) yield
  const next = new Int32Array(labels.length * breaks.length).fill(-1)
  const classes = new Map(breaks.map((code, i) => [code, i]))
  edges.forEach((map, s) => {
    for (const [code, to] of map) next[s * breaks.length + classes.get(code)!] = to
  })
  return { breaks, next, labels: Int32Array.from(labels) }
}

/** Texts of `min` to `max` code points, with label 0. Its states are as many as the larger bound that is finite. */
export function lengthAutomaton(min: number, max: number, what: string): CharacterAutomaton {
  const last = max < Infinity ? max : min
  if (last + 1 > limits.patternStates) throw tooMuch(what, 'states', limits.patternStates)
  const next = Int32Array.from({ length: last + 1 }, (_, i) => (i < last ? i + 1 : max < Infinity ? -1 : last))
  return { breaks: [0], next, labels: Int32Array.from({ length: last + 1 }, (_, i) => (i >= min ? 0 : -1)) }
}

/** [states]: how many more code points a text needs at least, and may have at most (Infinity), before it can end. */
export function* distances(
  automaton: CharacterAutomaton,
  budget: Budget,
): Pieces<{ readonly least: Float64Array; readonly most: Float64Array }> {
  const { next, labels, breaks } = automaton
  const width = breaks.length
  const count = labels.length
  const out: number[][] = []
  for (let s = 0; s < count; s++) {
    if (budget.pass(width)) yield
    out.push([...new Set(next.subarray(s * width, (s + 1) * width))].filter((to) => to >= 0))
  }
  const into: number[][] = Array.from({ length: count }, () => [])
  out.forEach((targets, s) => {
    for (const to of targets) into[to]!.push(s)
  })
  const least = new Float64Array(count).fill(Infinity)
  const queue: number[] = []
  for (let s = 0; s < count; s++) {
    if (labels[s]! < 0) continue
    least[s] = 0
    queue.push(s)
  }
  for (const s of queue) {
    for (const source of into[s]!) {
      if (least[source]! < Infinity) continue
      least[source] = least[s]! + 1
      queue.push(source)
    }
  }
  // States are taken away from the ends: what is left over can go round in circles.
  const most = new Float64Array(count).fill(Infinity)
  const open = out.map((targets) => targets.length)
  const ends = [...open.keys()].filter((s) => open[s] === 0)
  for (const s of ends) {
    most[s] = out[s]!.reduce((longest, to) => Math.max(longest, most[to]! + 1), 0)
    for (const source of into[s]!) if (--open[source]! === 0) ends.push(source)
  }
  return { least, most }
}

/** The label of a whole text, -1 where it is none of the automaton's. */
export function labelOf({ breaks, next, labels }: CharacterAutomaton, text: string): number {
  let state = 0
  for (const character of text) {
    state = next[state * breaks.length + classOf(breaks, character.codePointAt(0)!)]!
    if (state < 0) return -1
  }
  return labels[state]!
}
