/** Frames that are equal are one object, so that what is known of them is found again. */
import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import type { ArraySpec, ObjectSpec, Values } from '../schema/values.ts'
import { ArrayFrame } from './array-frame.ts'
import { AutomatonFrame } from './automaton-frame.ts'
import type { Expression } from './expressions.ts'
import {
  type Beside,
  type Frame,
  type FrameMaker,
  none,
  type ObjectState,
  type OpenKeys,
  type Outcome,
  type Phase,
} from './frame.ts'
import { ObjectFrame } from './object-frame.ts'
import { ValueFrame } from './value-frame.ts'

/** Makes frames, each once, until there are too many and all are forgotten. */
export class Frames implements FrameMaker {
  readonly values: Values
  readonly ordered: boolean
  #known = new Map<string, Frame>()
  /** Automata with nothing beside them, by number and state. */
  #plain = new Map<number, AutomatonFrame>()
  readonly #expressions = new Map<Expression, number>()
  #next = 0
  constructor(values: Values, ordered: boolean) {
    this.values = values
    this.ordered = ordered
  }

  get count(): number {
    return this.#known.size + this.#plain.size
  }

  forget(): void {
    this.#known = new Map()
    this.#plain = new Map()
  }

  once<T extends Frame>(key: string, make: (id: number) => T): T {
    let frame = this.#known.get(key)
    if (!frame) {
      frame = make(this.#next++)
      this.#known.set(key, frame)
    }
    return frame as T
  }

  value(node: number, blanks = 0): Frame {
    return this.once(`v${node},${blanks}`, (id) => new ValueFrame(id, this, node, blanks))
  }

  automaton(automaton: ByteAutomaton, state: number, beside?: Beside): AutomatonFrame {
    if (!beside) {
      const number = automaton.id * 2 ** 20 + state
      let frame = this.#plain.get(number)
      if (!frame) {
        frame = new AutomatonFrame(this.#next++, this, automaton, state, {})
        this.#plain.set(number, frame)
      }
      return frame
    }
    const key = `a${automaton.id},${state},${beside.free},${beside.marker}`
    return this.once(key, (id) => new AutomatonFrame(id, this, automaton, state, { beside }))
  }

  expression(expression: Expression): Frame {
    let id = this.#expressions.get(expression)
    if (id === undefined) {
      id = this.#expressions.size
      this.#expressions.set(expression, id)
    }
    return this.once(`e${id}`, (frame) => new ExpressionFrame(frame, expression))
  }

  counted(automaton: ByteAutomaton, state: number, min: number, max: number): AutomatonFrame {
    if (min === 0 && max === Infinity) return this.automaton(automaton, state)
    return this.once(
      `c${automaton.id},${state},${min},${max}`,
      (id) => new AutomatonFrame(id, this, automaton, state, { count: { min, max } }),
    )
  }

  key(object: ObjectSpec, state: number, open: OpenKeys): AutomatonFrame {
    return this.once(
      `k${object.id},${state},${open.names.join()},${open.free}`,
      (id) => new AutomatonFrame(id, this, object.keys, state, { keys: { object, ...open } }),
    )
  }

  object(spec: ObjectSpec, at: ObjectState): Frame {
    const key = `o${spec.id},${at.phase},${at.seen.join()},${at.count},${at.blanks},${at.label}`
    return this.once(key, (id) => new ObjectFrame(id, this, spec, at))
  }

  array(spec: ArraySpec, phase: Phase, count: number, blanks: number): Frame {
    return this.once(`l${spec.id},${phase},${count},${blanks}`, (id) => new ArrayFrame(id, this, spec, phase, count, blanks))
  }
}

class ExpressionFrame implements Frame {
  readonly id: number
  readonly exits: readonly number[] = []
  readonly expression: Expression

  constructor(id: number, expression: Expression) {
    this.id = id
    this.expression = expression
  }

  get ending(): number {
    return -1
  }

  step(): readonly Outcome[] {
    return none
  }

  resume(): Frame {
    return this
  }
}
