/** Places in a list. */
import type { ArraySpec } from '../schema/values.ts'
import { afterBlank } from './blanks.ts'
import { done, type Frame, type FrameMaker, none, type Outcome, type Phase } from './frame.ts'
import { startValue } from './value-frame.ts'

export class ArrayFrame implements Frame {
  readonly id: number
  readonly exits: readonly number[] = []
  readonly #frames: FrameMaker
  readonly #spec: ArraySpec
  readonly #phase: Phase
  readonly #count: number
  readonly #blanks: number

  constructor(id: number, frames: FrameMaker, spec: ArraySpec, phase: Phase, count: number, blanks: number) {
    this.id = id
    this.#frames = frames
    this.#spec = spec
    this.#phase = phase
    this.#count = count
    this.#blanks = blanks
  }

  get ending(): number {
    if (this.#count >= this.#spec.min) return 0x5d
    if (this.#phase === 'after') return 0x2c
    return this.#frames.value(this.#spec.first[0] ?? this.#spec.rest).ending
  }

  step(byte: number): readonly Outcome[] {
    const { first, rest, min, max } = this.#spec
    const count = this.#count
    const blank = afterBlank(this.#blanks, byte)
    if (blank >= 0) return [[this.#frames.array(this.#spec, this.#phase, count, blank)]]
    const node = count < first.length ? first[count]! : rest
    // Past the bounds and the first items, how many there are makes no difference.
    const more = Math.min(count + 1, Math.max(min, first.length, max < Infinity ? max : 0))
    const after = () => this.#frames.array(this.#spec, 'after', more, 0)
    if (this.#phase === 'open') {
      if (byte === 0x5d) return min === 0 ? done : none
      if (max === 0) return none
      return startValue(this.#frames, this.#frames.values.nodes[node]!, byte).map((outcome) => [after(), ...outcome])
    }
    if (byte === 0x5d) return count >= min ? done : none
    return byte === 0x2c && count < max ? [[after(), this.#frames.value(node)]] : none
  }

  resume(): Frame {
    return this
  }
}
