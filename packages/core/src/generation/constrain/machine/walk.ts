/**
 * Which tokens an automaton takes from a state, by one pass over the tree of tokens. What a pass finds depends on nothing but
 * the automaton, its state and the node that it begins at, so that it is kept for all texts.
 */
import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import type { MaskBudget, Pieces } from '../limits.ts'
import type { TokenTrie } from './token-trie.ts'

export interface Walk {
  /** Tokens in the order of the tree, with the node and state that each ends in and the characters that it completes. */
  readonly tokens: Int32Array
  readonly nodes: Int32Array
  readonly states: Int32Array
  readonly characters: Int32Array
  /** Nodes at which the text of the automaton may end, with its state and the characters up to there. */
  readonly exitNodes: Int32Array
  readonly exitStates: Int32Array
  readonly exitCharacters: Int32Array
  /** Beside these, parts of another walk: tokens and exits behind nodes from where on any string may follow. */
  readonly free?: FreeParts
}

export interface FreeParts {
  /** The walk of `anyString` from the same node. */
  readonly walk: Walk
  /** First and last (not included) tokens of each part, in order; then its exits. */
  readonly parts: readonly {
    readonly first: number
    readonly last: number
    readonly firstExit: number
    readonly lastExit: number
  }[]
  /** Label of the texts. */
  readonly label: number
  readonly tokenCount: number
}

/** With the masks that are made of it. */
export const bytesOfWalk = ({ tokens, exitNodes, free }: Walk): number =>
  32 * tokens.length + 12 * exitNodes.length + 64 * (free?.parts.length ?? 0) + 200

/** Nodes between two looks at the budget; four take about as long as one of its steps. */
const nodesOfPiece = 8192

/** @param anything the walk of `anyString` from the same node; absent: the automaton is followed to the end */
export function* walk(
  trie: TokenTrie,
  automaton: ByteAutomaton,
  state: number,
  node: number,
  budget: MaskBudget,
  anything?: Walk,
): Pieces<Walk> {
  const { bytes, ends, depths, starts } = trie
  const { next, classOf, classes, labels, characters } = automaton
  const tokens = new Table(4)
  const exits = new Table(3)
  const parts: FreeParts['parts'][number][] = []
  const base = depths[node]!
  const states = new Int32Array(trie.deepest + 2)
  const counts = new Int32Array(trie.deepest + 2)
  states[base] = state
  // Between characters alone are both at the same place of the text.
  const freeState = anything && automaton.free && state < characters ? automaton.free.state : -1
  const part = (from: number, to: number): void => {
    const { nodes, exitNodes } = anything!
    const first = lowerBound(nodes, from)
    const last = lowerBound(nodes, to)
    if (last > first) parts.push({ first, last, firstExit: lowerBound(exitNodes, from), lastExit: lowerBound(exitNodes, to) })
  }
  if (labels[state]! >= 0) exits.add(node, state, 0)
  const whole = state === freeState
  if (whole) part(node + 1, ends[node]!)
  const end = ends[node]!
  /** Goes on for some nodes; returns the next one. */
  const some = (from: number): number => {
    let i = from
    for (let left = nodesOfPiece; left > 0 && i < end; left--) {
      const depth = depths[i]!
      const to = next[states[depth - 1]! * classes + classOf[bytes[i]!]!]!
      if (to < 0) {
        i = ends[i]!
        continue
      }
      if (to === freeState) {
        part(i, ends[i]!)
        i = ends[i]!
        continue
      }
      const count = counts[depth - 1]! + (to < characters ? 1 : 0)
      for (let t = starts[i]!; t < starts[i + 1]!; t++) tokens.add(trie.tokens[t]!, i, to, count)
      if (labels[to]! >= 0) exits.add(i, to, count)
      states[depth] = to
      counts[depth] = count
      i++
    }
    return i
  }
  for (let i = node + 1; i < end && !whole; ) {
    const from = i
    i = some(i)
    if (budget.spend(Math.min(nodesOfPiece, i - from) >> 2)) yield
  }
  const [ids, nodes, endStates, completed] = tokens.columns()
  const [exitNodes, exitStates, exitCharacters] = exits.columns()
  return {
    tokens: ids!,
    nodes: nodes!,
    states: endStates!,
    characters: completed!,
    exitNodes: exitNodes!,
    exitStates: exitStates!,
    exitCharacters: exitCharacters!,
    ...(parts.length > 0 && {
      free: {
        walk: anything!,
        parts,
        label: automaton.free!.label,
        tokenCount: parts.reduce((sum, { first, last }) => sum + last - first, 0),
      },
    }),
  }
}

function lowerBound(sorted: Int32Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

/** Rows of numbers, as columns. */
class Table {
  readonly #width: number
  #values = new Int32Array(256)
  #length = 0

  constructor(width: number) {
    this.#width = width
  }

  add(a: number, b: number, c: number, d = 0): void {
    if (this.#length + 4 > this.#values.length) {
      const grown = new Int32Array(2 * this.#values.length)
      grown.set(this.#values)
      this.#values = grown
    }
    this.#values[this.#length] = a
    this.#values[this.#length + 1] = b
    this.#values[this.#length + 2] = c
    if (this.#width > 3) this.#values[this.#length + 3] = d
    this.#length += this.#width
  }

  columns(): Int32Array[] {
    const rows = this.#length / this.#width
    return Array.from({ length: this.#width }, (_, column) => {
      const values = new Int32Array(rows)
      for (let i = 0; i < rows; i++) values[i] = this.#values[i * this.#width + column]!
      return values
    })
  }
}
