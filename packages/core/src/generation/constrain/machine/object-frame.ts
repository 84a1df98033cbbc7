/** Places in an object. */
import type { ObjectSpec } from '../schema/values.ts'
import { afterBlank } from './blanks.ts'
import { done, type Frame, type FrameMaker, none, type ObjectState, type OpenKeys, type Outcome } from './frame.ts'

export class ObjectFrame implements Frame {
  readonly id: number
  readonly exits: readonly number[] = []
  readonly #frames: FrameMaker
  readonly #spec: ObjectSpec
  readonly #at: ObjectState

  constructor(id: number, frames: FrameMaker, spec: ObjectSpec, at: ObjectState) {
    this.id = id
    this.#frames = frames
    this.#spec = spec
    this.#at = at
  }

  get ending(): number {
    const { phase } = this.#at
    if (phase === 'colon') return 0x3a
    if (phase === 'comma') return 0x22
    if (this.#isWhole()) return 0x7d
    return phase === 'open' ? 0x22 : 0x2c
  }

  step(byte: number): readonly Outcome[] {
    const { phase, blanks, seen, label } = this.#at
    const blank = phase === 'item' ? -1 : afterBlank(blanks, byte)
    if (blank >= 0) return [[this.#frames.object(this.#spec, { ...this.#at, blanks: blank })]]
    if (phase === 'colon') {
      if (byte !== 0x3a) return none
      const node = this.#spec.nodes[label]!
      return [[this.#frames.object(this.#spec, { ...this.#at, phase: 'after', blanks: 0, label: -1 }), this.#frames.value(node)]]
    }
    if (byte === 0x7d && (phase === 'open' || phase === 'after')) return this.#isWhole() ? done : none
    if (byte === 0x2c && phase === 'after') {
      return this.#openKeys() ? [[this.#frames.object(this.#spec, { ...this.#at, phase: 'comma', blanks: 0 })]] : none
    }
    if (byte === 0x22 && (phase === 'open' || phase === 'comma')) {
      const open = this.#openKeys()
      if (!open) return none
      return [
        [
          this.#frames.object(this.#spec, { phase: 'item', seen, count: this.#at.count, blanks: 0, label: -1 }),
          this.#frames.key(this.#spec, 0, open),
        ],
      ]
    }
    return none
  }

  resume(label: number): Frame {
    if (this.#at.phase !== 'item') return this
    let { seen, count } = this.#at
    if (label < this.#spec.names.length) {
      seen = seen.slice()
      seen[label >> 5]! |= 1 << (label & 31)
    }
    // Past both bounds the number of keys makes no difference.
    if (count < this.#spec.min || this.#spec.max < Infinity) count++
    return this.#frames.object(this.#spec, { phase: 'colon', seen, count, blanks: 0, label })
  }

  #missing(): number {
    let missing = 0
    this.#spec.required.forEach((bits, w) => {
      for (let rest = bits & ~this.#at.seen[w]!; rest !== 0; rest &= rest - 1) missing++
    })
    return missing
  }

  #isWhole(): boolean {
    return this.#missing() === 0 && this.#at.count >= this.#spec.min
  }

  /** Keys that may come next. Undefined: none. */
  #openKeys(): OpenKeys | undefined {
    const { allowed, required, hasFree, max } = this.#spec
    const { seen, count } = this.#at
    // The last places are kept for what the object must have.
    const full = max < Infinity && count + this.#missing() >= max
    const names = (full ? required : allowed).map((bits, w) => bits & ~seen[w]!)
    // With a least number of keys, one that was passed over might be missed.
    if (this.#frames.ordered && this.#spec.min <= this.#missing() + count) keepNext(names, required, seen)
    const free = hasFree && !full
    return free || names.some((bits) => bits !== 0) ? { names, free } : undefined
  }
}

/** In the schema's order: only names behind the last one that is there, up to the first that must come. */
function keepNext(names: Uint32Array, required: Uint32Array, seen: Uint32Array): void {
  let last = -1
  for (let i = 32 * seen.length - 1; i >= 0 && last < 0; i--) if ((seen[i >> 5]! >>> (i & 31)) & 1) last = i
  let over = false
  for (let i = 0; i < 32 * names.length; i++) {
    const bit = 1 << (i & 31)
    const must = (required[i >> 5]! & ~seen[i >> 5]! & bit) !== 0
    if (over || (i < last && !must)) names[i >> 5]! &= ~bit
    if (must) over = true
  }
}
