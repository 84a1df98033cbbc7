/** Texts of automata: strings, keys, numbers, patterns. */
import { type ByteAutomaton, step } from '../automata/byte-automaton.ts'
import type { ObjectSpec } from '../schema/values.ts'
import {
  type AutomatonState,
  type Beside,
  type Frame,
  type FrameMaker,
  type Limits,
  none,
  type OpenKeys,
  type Outcome,
} from './frame.ts'

/** A state of an automaton, with the characters that may still come, or the keys that are still open. */
export class AutomatonFrame implements AutomatonState {
  readonly id: number
  readonly table: ByteAutomaton
  readonly state: number
  readonly count: Limits['count']
  readonly keys: Limits['keys']
  readonly beside: Beside | undefined
  readonly exits: readonly number[]
  readonly #frames: FrameMaker

  constructor(id: number, frames: FrameMaker, table: ByteAutomaton, state: number, { count, keys, beside }: Limits) {
    this.id = id
    this.#frames = frames
    this.table = table
    this.state = state
    this.count = count
    this.keys = keys
    this.beside = beside
    const label = table.labels[state]!
    this.exits = label >= 0 && this.accepts(state, 0) ? [label] : []
  }

  get automaton(): this {
    return this
  }

  get ending(): number {
    if (this.exits.length > 0) return -1
    const { table, keys } = this
    const missing = keys?.names.map((bits, w) => bits & keys.object.required[w]!)
    const needed = keys && { object: keys.object, names: missing!, free: false }
    // A key that has begun as another one is ended as that.
    const target = needed && livesAsKey(needed, this.state) ? needed : undefined
    let best = -1
    let least = Infinity
    for (let byte = 0; byte < 256; byte++) {
      const to = step(table, this.state, byte)
      if (to < 0 || table.bytes[to]! >= least || !this.lives(to, to < table.characters ? 1 : 0)) continue
      if (target && !livesAsKey(target, to)) continue
      least = table.bytes[to]!
      best = byte
    }
    return best
  }

  lives(state: number, characters: number): boolean {
    const { table, count, keys } = this
    if (count) return characters + table.least[state]! <= count.max && characters + table.most[state]! >= count.min
    return keys === undefined || livesAsKey(keys, state)
  }

  accepts(state: number, characters: number): boolean {
    if (this.count) return characters >= this.count.min && characters <= this.count.max
    return this.keys === undefined || livesAsKey(this.keys, state)
  }

  step(byte: number): readonly Outcome[] {
    const { table, count, keys } = this
    const to = step(table, this.state, byte)
    if (to < 0) return none
    const characters = to < table.characters ? 1 : 0
    if (!this.lives(to, characters)) return none
    if (keys) return [[this.#frames.key(keys.object, to, keys)]]
    if (count) return [[this.#frames.counted(table, to, Math.max(0, count.min - characters), count.max - characters)]]
    return [[this.#frames.automaton(table, to, this.beside)]]
  }

  restarted(): Frame {
    return this.#frames.automaton(this.table, 0, this.beside)
  }

  resume(): Frame {
    return this
  }
}

function livesAsKey({ object, names, free }: { readonly object: ObjectSpec } & OpenKeys, state: number): boolean {
  if (free && object.reachesFree[state]) return true
  for (let w = 0; w < names.length; w++) if ((object.reach[state * names.length + w]! & names[w]!) !== 0) return true
  return false
}
