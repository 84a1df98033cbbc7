/** Masks of the tokens that may come next, from the stacks of a text; kept by state, within a bound of bytes. */
import { MaskBudget, type Pieces } from '../limits.ts'
import { anyString } from '../schema/strings.ts'
import type { AutomatonState, Frame } from './frame.ts'
import { atEnd, besideToken, open, type Reading, type Stack, type Stacks } from './stacks.ts'
import type { TokenVocabulary } from './vocabulary.ts'
import type { FreeParts, Walk } from './walk.ts'

const setBit = (mask: Uint32Array, id: number): void => {
  mask[id >> 5]! |= 1 << (id & 31)
}

const clearBit = (mask: Uint32Array, id: number): void => {
  mask[id >> 5]! &= ~(1 << (id & 31))
}

/** What is made of walks, kept as long as they are: texts of all grammars over a vocabulary share it. */
const fullMasks = new WeakMap<Walk, Uint32Array>()
/** Tokens ordered by the characters that a text with them needs. */
const orders = new WeakMap<Walk, { readonly order: Int32Array; readonly needs: Int32Array }>()
/** Of walks over keys: tokens that may begin a key without a name, and the others, by their index. */
const keyMasks = new WeakMap<Walk, { readonly others: Uint32Array; readonly named: readonly number[] }>()

export class Masks {
  readonly #vocabulary: TokenVocabulary
  readonly #stacks: Stacks
  readonly #known = new Map<string, Uint32Array>()
  readonly #most: number
  readonly #ends: Uint32Array
  /** @param cacheBytes of masks that are kept */
  constructor(vocabulary: TokenVocabulary, stacks: Stacks, cacheBytes: number) {
    this.#vocabulary = vocabulary
    this.#stacks = stacks
    this.#most = Math.max(8, Math.floor(cacheBytes / (4 * this.words)))
    this.#ends = new Uint32Array(this.words)
    for (const id of vocabulary.endIds) if (id < vocabulary.size) setBit(this.#ends, id)
  }

  get words(): number {
    return Math.ceil(this.#vocabulary.size / 32)
  }

  /** Of the masks that are kept. */
  get bytes(): number {
    return 4 * this.words * this.#known.size
  }

  /** Forgets what was kept of frames that are no more. */
  forget(): void {
    this.#known.clear()
  }

  /** [ceil(V / 32)]; shared, not to be changed. */
  *mask(readings: ReadonlySet<Reading>): Pieces<Uint32Array> {
    const key = [...readings]
      .map((reading) => (reading === atEnd ? -1 : reading.id))
      .sort((a, b) => a - b)
      .join()
    let found = this.#known.get(key)
    if (found) return found
    found = new Uint32Array(this.words)
    const budget = new MaskBudget()
    const seen = new Set<Stack>()
    for (const reading of readings) {
      if (reading === atEnd) or(found, this.#ends)
      else yield* this.#add(reading, 0, found, budget, seen)
    }
    this.#known.set(key, found)
    if (this.#known.size > this.#most)
      for (const [oldest] of this.#known) {
        this.#known.delete(oldest)
        break
      }
    return found
  }

  /** Tokens below a node that a stack takes. */
  *#add(stack: Stack, node: number, mask: Uint32Array, budget: MaskBudget, seen?: Set<Stack>): Pieces<void> {
    if (seen?.has(stack)) return
    seen?.add(stack)
    const { top } = stack
    if (top.automaton) yield* this.#addAutomaton(stack, top.automaton, node, mask, budget)
    else if (top.expression) {
      for (const outcome of open(top.expression, this.#stacks.frames)) {
        const next = this.#stacks.push(stack.below, outcome)
        if (next) yield* this.#add(next, node, mask, budget)
      }
    } else yield* this.#addFrame(stack, top, node, mask, budget)
  }

  *#addFrame(stack: Stack, top: Frame, node: number, mask: Uint32Array, budget: MaskBudget): Pieces<void> {
    const { bytes, ends, starts, tokens } = this.#vocabulary.trie
    for (let child = node + 1; child < ends[node]!; child = ends[child]!) {
      const outcomes = top.step(bytes[child]!)
      if (budget.spend(1)) yield
      if (outcomes.length === 0) continue
      for (let t = starts[child]!; t < starts[child + 1]!; t++) setBit(mask, tokens[t]!)
      if (ends[child]! === child + 1) continue
      for (const outcome of outcomes) {
        const next = this.#stacks.push(stack.below, outcome)
        if (next) yield* this.#add(next, child, mask, budget)
      }
    }
  }

  *#addAutomaton(stack: Stack, frame: AutomatonState, node: number, mask: Uint32Array, budget: MaskBudget): Pieces<void> {
    const whole = frame.count !== undefined || frame.table === anyString()
    const walk = yield* this.#vocabulary.walk(frame.table, frame.state, node, budget, whole)
    if (budget.spend(64 + (walk.tokens.length >> 4))) yield
    if (frame.count) this.#addCounted(walk, frame, mask)
    else if (frame.keys) this.#addKeys(walk, frame, mask)
    else this.#addAll(walk, mask)
    if (frame.beside && node === 0) this.#addAdded(frame, mask)
    const { exitNodes, exitStates, exitCharacters, free } = walk
    const below = new Map<number, Stack | undefined>()
    const isLeaf = (at: number): boolean => this.#vocabulary.trie.ends[at]! === at + 1
    const belowOf = (label: number): Stack | undefined => {
      if (!below.has(label)) below.set(label, this.#stacks.popped(stack, label))
      return below.get(label)
    }
    for (let i = 0; i < exitNodes.length; i++) {
      const [at, state] = [exitNodes[i]!, exitStates[i]!]
      if (budget.spend(1)) yield
      if (isLeaf(at) || !frame.accepts(state, exitCharacters[i]!)) continue
      const next = belowOf(frame.table.labels[state]!)
      if (next) yield* this.#add(next, at, mask, budget)
    }
    if (!free || frame.keys?.free === false) return
    for (const { firstExit, lastExit } of free.parts) {
      for (let i = firstExit; i < lastExit; i++) {
        const at = free.walk.exitNodes[i]!
        if (budget.spend(1)) yield
        const next = isLeaf(at) ? undefined : belowOf(free.label)
        if (next) yield* this.#add(next, at, mask, budget)
      }
    }
  }

  #addAll(walk: Walk, mask: Uint32Array): void {
    if (!walk.free && walk.tokens.length < mask.length / 2) {
      for (const id of walk.tokens) setBit(mask, id)
      return
    }
    or(mask, this.#all(walk))
  }

  #all(walk: Walk): Uint32Array {
    let full = fullMasks.get(walk)
    if (!full) {
      full = new Uint32Array(this.words)
      if (walk.free) this.#setFree(walk.free, full)
      for (const id of walk.tokens) setBit(full, id)
      fullMasks.set(walk, full)
    }
    return full
  }

  /** Mostly all tokens of a string may come but a few: then these are cleared. */
  #setFree({ walk, parts, tokenCount }: FreeParts, mask: Uint32Array): void {
    if (tokenCount < walk.tokens.length / 2) {
      for (const { first, last } of parts) for (let i = first; i < last; i++) setBit(mask, walk.tokens[i]!)
      return
    }
    mask.set(this.#all(walk))
    let next = 0
    for (const { first, last } of [...parts, { first: walk.tokens.length, last: 0 }]) {
      for (; next < first; next++) clearBit(mask, walk.tokens[next]!)
      next = last
    }
  }

  /** All tokens but those that need more characters than there may be. */
  #addCounted(walk: Walk, frame: AutomatonState, mask: Uint32Array): void {
    const { table, count } = frame
    const { min, max } = count!
    if (min > 0 && table.most.some((most) => most < Infinity)) {
      addLiving(walk, frame, mask)
      return
    }
    const { order, needs } = this.#needs(walk, frame)
    let from = needs.length
    while (from > 0 && needs[from - 1]! > max) from--
    if (from < needs.length / 2) {
      for (let i = 0; i < from; i++)
        if (min === 0 || frame.lives(walk.states[order[i]!]!, walk.characters[order[i]!]!)) setBit(mask, walk.tokens[order[i]!]!)
      return
    }
    const allowed = this.#all(walk).slice()
    for (let i = from; i < order.length; i++) {
      const id = walk.tokens[order[i]!]!
      clearBit(allowed, id)
    }
    // A token that closes the string too early.
    if (min > 0) {
      for (let i = 0; i < walk.tokens.length; i++) {
        const id = walk.tokens[i]!
        if (!frame.lives(walk.states[i]!, walk.characters[i]!)) clearBit(allowed, id)
      }
    }
    or(mask, allowed)
  }

  /** Where any key may come, most tokens begin one: only those that can become nothing but a name are looked at. */
  #addKeys(walk: Walk, frame: AutomatonState, mask: Uint32Array): void {
    const { object, free } = frame.keys!
    if (!free) {
      addLiving(walk, frame, mask)
      return
    }
    let found = keyMasks.get(walk)
    if (!found) {
      const others = new Uint32Array(this.words)
      if (walk.free) this.#setFree(walk.free, others)
      const named: number[] = []
      walk.states.forEach((state, i) => {
        if (object.reachesFree[state]) setBit(others, walk.tokens[i]!)
        else named.push(i)
      })
      found = { others, named }
      keyMasks.set(walk, found)
    }
    or(mask, found.others)
    for (const i of found.named) if (frame.lives(walk.states[i]!, 0)) setBit(mask, walk.tokens[i]!)
  }

  #needs(walk: Walk, { table }: AutomatonState) {
    let found = orders.get(walk)
    if (!found) {
      found = orderedByNeed(Int32Array.from(walk.characters, (count, i) => count + table.least[walk.states[i]!]!))
      orders.set(walk, found)
    }
    return found
  }

  #addAdded(frame: AutomatonState, mask: Uint32Array): void {
    for (const [text, { id, isSpecial }] of this.#vocabulary.added) {
      if (!this.#vocabulary.endIds.includes(id) && id < this.#vocabulary.size && besideToken(frame, text, isSpecial))
        setBit(mask, id)
    }
  }
}

/** Indices by ascending need, and the needs in that order. Needs are small, so that each gets a place of its own. */
function orderedByNeed(need: Int32Array): { readonly order: Int32Array; readonly needs: Int32Array } {
  const most = need.reduce((a, b) => Math.max(a, b), 0)
  const starts = new Int32Array(most + 2)
  for (const each of need) starts[each + 1]!++
  for (let i = 1; i < starts.length; i++) starts[i]! += starts[i - 1]!
  const order = new Int32Array(need.length)
  need.forEach((each, i) => {
    order[starts[each]!++] = i
  })
  return { order, needs: order.map((i) => need[i]!) }
}

/** Tokens whose state can still lead to an end. */
function addLiving({ tokens, states, characters }: Walk, frame: AutomatonState, mask: Uint32Array): void {
  const lives = new Int8Array(frame.keys ? frame.table.labels.length : 0)
  for (let i = 0; i < tokens.length; i++) {
    const state = states[i]!
    let alive: boolean
    if (frame.keys) {
      if (lives[state] === 0) lives[state] = frame.lives(state, 0) ? 1 : -1
      alive = lives[state] === 1
    } else alive = frame.lives(state, characters[i]!)
    if (alive) setBit(mask, tokens[i]!)
  }
}

function or(mask: Uint32Array, other: Uint32Array): void {
  for (let i = 0; i < mask.length; i++) mask[i]! |= other[i]!
}
