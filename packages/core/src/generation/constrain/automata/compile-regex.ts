/** From a tree to a deterministic automaton: Thompson's states, then sets of them. */
import { type Budget, limits, type Pieces, tooMuch } from '../limits.ts'
import { type CharacterAutomaton, classOf, pruned } from './character-automaton.ts'
import { everything, largestCodePoint, type Ranges } from './ranges.ts'
import type { Regex } from './regex-tree.ts'

/** `at`: the edge is open only there. */
type Edge = { readonly to: number; readonly at?: 'start' | 'end' }

interface Machine {
  readonly edges: Edge[][]
  readonly sets: (readonly { readonly ranges: Ranges; readonly to: number }[])[]
  readonly final: number
  /** From where on every text is accepted: what follows need not be looked at. */
  readonly sink: number
}

export interface CompileOptions {
  /** The tree may match any part of a text, as ECMAScript's `test` and JSON schema's `pattern` do. Default: the whole text. */
  readonly anywhere?: boolean
}

/** The automaton gives the texts of the tree label 0. @param what names it in errors */
export function* compileRegex(
  tree: Regex,
  what: string,
  budget: Budget,
  { anywhere = false }: CompileOptions = {},
): Pieces<CharacterAutomaton> {
  const machine = thompson(tree, what, budget, anywhere)
  const breaks = breaksOf(machine.sets)
  const closure = (states: Iterable<number>, start: boolean, end: boolean): number[] => {
    const seen = new Set<number>(states)
    for (const s of seen) {
      budget.count(1 + machine.edges[s]!.length)
      for (const { to, at } of machine.edges[s]!) if (at === undefined || (at === 'start' ? start : end)) seen.add(to)
    }
    // Sorting them and spelling their key take longer than finding them.
    budget.count(4 * seen.size)
    return seen.has(machine.sink) ? [machine.sink] : [...seen].sort((a, b) => a - b)
  }
  const ids = new Map<string, number>()
  const sets: number[][] = []
  const idOf = (states: number[], key: string): number => {
    const found = ids.get(key)
    if (found !== undefined) return found
    if (sets.length >= limits.patternStates) throw tooMuch(what, 'states', limits.patternStates)
    ids.set(key, sets.length)
    return sets.push(states) - 1
  }
  idOf(closure([0], true, false), 'start')
  const next: number[] = []
  for (let s = 0; s < sets.length; s++) {
    if (budget.spend(breaks.length)) yield
    const targets: Set<number>[] = breaks.map(() => new Set())
    for (const state of sets[s]!) {
      if (budget.pass(0)) yield
      for (const { ranges, to } of machine.sets[state]!) {
        for (let i = 0; i < ranges.length; i += 2) {
          const last = classOf(breaks, ranges[i + 1]!)
          budget.count(1 + last)
          for (let c = classOf(breaks, ranges[i]!); c <= last; c++) targets[c]!.add(to)
        }
      }
    }
    const known = new Map<string, number>()
    for (const each of targets) {
      if (each.size === 0) {
        next.push(-1)
        continue
      }
      if (budget.spend(each.size)) yield
      const key = [...each].join()
      let id = known.get(key)
      if (id === undefined) {
        const states = closure(each, false, false)
        id = idOf(states, states.join())
        known.set(key, id)
      }
      next.push(id)
    }
  }
  const labels = new Int32Array(sets.length)
  for (const [i, states] of sets.entries()) {
    if (budget.pass(1)) yield
    labels[i] = closure(states, i === 0, true).some((s) => s === machine.final || s === machine.sink) ? 0 : -1
  }
  return yield* pruned({ breaks, next: Int32Array.from(next), labels }, budget)
}

function breaksOf(sets: Machine['sets']): number[] {
  const breaks = new Set<number>([0])
  for (const list of sets) {
    for (const { ranges } of list) {
      for (let i = 0; i < ranges.length; i += 2) {
        breaks.add(ranges[i]!)
        if (ranges[i + 1]! < largestCodePoint) breaks.add(ranges[i + 1]! + 1)
      }
    }
  }
  return [...breaks].sort((a, b) => a - b)
}

function thompson(tree: Regex, what: string, budget: Budget, anywhere: boolean): Machine {
  const edges: Edge[][] = []
  const sets: { ranges: Ranges; to: number }[][] = []
  const state = (): number => {
    if (edges.length >= limits.patternStates) throw tooMuch(what, 'states', limits.patternStates)
    budget.count(4)
    sets.push([])
    return edges.push([]) - 1
  }
  const link = (from: number, to: number, at?: 'start' | 'end') => edges[from]!.push(at ? { to, at } : { to })

  /** From state `from`; returns the state behind it. */
  function add(node: Regex, from: number): number {
    switch (node.type) {
      case 'set': {
        const to = state()
        sets[from]!.push({ ranges: node.ranges, to })
        return to
      }
      case 'start':
      case 'end': {
        const to = state()
        link(from, to, node.type)
        return to
      }
      case 'sequence':
        return node.items.reduce((at, item) => add(item, at), from)
      case 'choice': {
        const to = state()
        for (const item of node.items) {
          const first = state()
          link(from, first)
          link(add(item, first), to)
        }
        return to
      }
      case 'repeat': {
        let at = from
        for (let i = 0; i < node.min; i++) at = add(node.item, at)
        const to = state()
        if (node.max === Infinity) {
          const again = state()
          link(at, again)
          link(add(node.item, again), again)
          link(again, to)
          return to
        }
        for (let i = node.min; i < node.max; i++) {
          link(at, to)
          at = add(node.item, at)
        }
        link(at, to)
        return to
      }
    }
  }

  const start = state()
  if (anywhere) sets[start]!.push({ ranges: everything, to: start })
  const first = state()
  link(start, first)
  const final = add(tree, first)
  const sink = state()
  if (anywhere) {
    link(final, sink)
    sets[sink]!.push({ ranges: everything, to: sink })
  }
  return { edges, sets, final, sink: anywhere ? sink : -1 }
}
