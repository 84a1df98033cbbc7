/** Stacks of frames, each once: a linked list from the top frame down. */
import { unsupportedError } from '../../../errors.ts'
import { limits } from '../limits.ts'
import type { Expression } from './expressions.ts'
import type { AutomatonState, Frame, Outcome } from './frame.ts'
import type { Frames } from './frames.ts'

export interface Stack {
  readonly id: number
  readonly top: Frame
  readonly below: Stack | undefined
  /** Stacks with one frame more, by its number; of the round in which they were made. */
  above: Map<number, Stack> | undefined
  round: number
}

/** What was read may be the whole text. */
export const atEnd = Symbol('the end of the text')
export type Reading = Stack | typeof atEnd

/** Frames and stacks that are kept at most; beyond, those not in use are forgotten and made again when needed. */
const mostKept = 50_000

export class Stacks {
  readonly frames: Frames
  /** Stacks of one frame, by its number. */
  #single = new Map<number, Stack>()
  #next = 0
  /** Stacks that were made since all were forgotten last, which begins another round. */
  #count = 0
  #round = 0

  constructor(frames: Frames) {
    this.frames = frames
  }

  /** Frames and stacks that can be found again. */
  get kept(): number {
    return this.#count + this.frames.count
  }

  /** True where all that was known was forgotten. */
  trim(): boolean {
    if (this.kept < mostKept) return false
    this.#single = new Map()
    this.#count = 0
    this.#round++
    this.frames.forget()
    return true
  }

  push(below: Stack | undefined, frames: Outcome): Stack | undefined {
    let stack = below
    for (const top of frames) {
      if (stack && (!stack.above || stack.round !== this.#round)) {
        stack.above = new Map()
        stack.round = this.#round
      }
      const known: Map<number, Stack> = stack?.above ?? this.#single
      let found = known.get(top.id)
      if (!found) {
        found = { id: this.#next++, top, below: stack, above: undefined, round: this.#round }
        this.#count++
        known.set(top.id, found)
      }
      stack = found
    }
    return stack
  }

  /** Below a frame that is done. */
  popped(stack: Stack, label: number): Stack | undefined {
    const { below } = stack
    if (!below) return undefined
    const next = below.top.resume(label)
    return next === below.top ? below : this.push(below.below, [next])
  }

  /** Ways to read on: expressions are opened, frames that can only end are taken away. */
  settle(stack: Stack | undefined, into: Set<Reading>): void {
    if (!stack) {
      into.add(atEnd)
      return
    }
    const { top } = stack
    if (top.expression) {
      for (const outcome of open(top.expression, this.frames)) this.settle(this.push(stack.below, outcome), into)
      return
    }
    if (top.automaton && endsHere(top.automaton)) {
      this.settle(this.popped(stack, top.exits[0]!), into)
      return
    }
    into.add(stack)
    if (into.size > limits.threads) {
      throw unsupportedError(
        `constrained output: the text can be read in more than ${limits.threads} ways at once; make the schema less ambiguous`,
      )
    }
    // What may end here may also end the whole text.
    for (const label of top.exits) {
      const below = this.popped(stack, label)
      if (!below || this.#mayEnd(below)) into.add(atEnd)
    }
  }

  #mayEnd(stack: Stack): boolean {
    const ways = new Set<Reading>()
    this.settle(stack, ways)
    return ways.has(atEnd)
  }

  /** All ways to read another byte. */
  step(readings: Iterable<Reading>, byte: number): Set<Reading> {
    const next = new Set<Reading>()
    for (const reading of readings) if (reading !== atEnd) this.#step(reading, byte, next)
    return next
  }

  #step(stack: Stack, byte: number, next: Set<Reading>): void {
    for (const outcome of stack.top.step(byte)) this.settle(this.push(stack.below, outcome), next)
    for (const label of stack.top.exits) {
      const below = this.popped(stack, label)
      if (!below) continue
      const ways = new Set<Reading>()
      this.settle(below, ways)
      for (const way of ways) if (way !== atEnd) this.#step(way, byte, next)
    }
  }

  /** All ways to read a token that is no bytes: one of the markers, or any in free text. */
  stepAdded(readings: Iterable<Reading>, text: string, isSpecial: boolean): Set<Reading> {
    const next = new Set<Reading>()
    const visit = (stack: Stack): void => {
      const { top } = stack
      const kind = top.automaton && besideToken(top.automaton, text, isSpecial)
      if (kind === 'ends') this.settle(this.popped(stack, 0), next)
      else if (kind === 'stays') this.settle(this.push(stack.below, [top.automaton!.restarted()]), next)
      for (const label of top.exits) {
        const ways = new Set<Reading>()
        this.settle(this.popped(stack, label), ways)
        for (const way of ways) if (way !== atEnd) visit(way)
      }
    }
    for (const reading of readings) if (reading !== atEnd) visit(reading)
    return next
  }

  /** Bytes on a short way to the end of the text. */
  ending(reading: Reading): Uint8Array {
    const bytes: number[] = []
    let stack = reading === atEnd ? undefined : reading
    while (stack) {
      const { top, below }: Stack = stack
      if (top.expression) {
        const ways = open(top.expression, this.frames)
        stack = this.push(below, ways[0]!)
        continue
      }
      const byte = top.ending
      if (byte < 0) {
        stack = this.popped(stack, top.exits[0]!)
        continue
      }
      bytes.push(byte)
      // Alternatives stand in the order of their shortest values.
      stack = this.push(below, top.step(byte)[0]!)
    }
    return Uint8Array.from(bytes)
  }
}

/** What an added token means for a text that is in this state. */
export function besideToken(frame: AutomatonState, text: string, isSpecial: boolean): 'ends' | 'stays' | undefined {
  const { beside, state, table } = frame
  if (!beside || state >= table.characters) return undefined
  if (beside.marker === text && (beside.free || state === 0)) return 'ends'
  return beside.free && !isSpecial ? 'stays' : undefined
}

const endsHere = ({ table, state, exits }: AutomatonState): boolean =>
  exits.length > 0 && table.next.subarray(state * table.classes, (state + 1) * table.classes).every((to) => to < 0)

/** What an expression stands for: each a list of frames, the first to be read on top. */
export function open(expression: Expression, frames: Frames): readonly Outcome[] {
  switch (expression.type) {
    case 'text':
    case 'pattern': {
      const { automaton, marker } = expression
      const free = expression.type === 'pattern' ? expression.free : false
      return [[frames.automaton(automaton, 0, marker !== undefined || free ? { marker, free } : undefined)]]
    }
    case 'value':
      return [[frames.value(expression.node)]]
    case 'sequence':
      return [expression.items.map((item) => frames.expression(item)).reverse()]
    case 'choice':
      return expression.items.map((item) => [frames.expression(item)])
    case 'repeat': {
      const { item, min } = expression
      const again = min > 0 ? frames.expression(less(expression)) : frames.expression(expression)
      const once = [again, frames.expression(item)]
      return min > 0 ? [once] : [[], once]
    }
  }
}

const fewer = new WeakMap<Expression, Expression>()

function less(expression: Expression & { type: 'repeat' }): Expression {
  let found = fewer.get(expression)
  if (!found) {
    found = { ...expression, min: expression.min - 1 }
    fewer.set(expression, found)
  }
  return found
}
