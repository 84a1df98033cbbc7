/** The place before a value. */
import { shortestArray, shortestObject, shortestString, type ValueNode } from '../schema/values.ts'
import { afterBlank } from './blanks.ts'
import type { Frame, FrameMaker, Outcome } from './frame.ts'

/** Before a value. */
export class ValueFrame implements Frame {
  readonly id: number
  readonly exits: readonly number[] = []
  readonly #frames: FrameMaker
  readonly #node: number
  readonly #blanks: number

  constructor(id: number, frames: FrameMaker, node: number, blanks: number) {
    this.id = id
    this.#frames = frames
    this.#node = node
    this.#blanks = blanks
  }

  get ending(): number {
    const { scalars, strings, objects, arrays } = this.#frames.values.nodes[this.#node]!
    const { shortest } = this.#frames.values
    const ways: (readonly [bytes: number, byte: number])[] = [
      ...strings.map((spec) => [shortestString(spec), 0x22] as const),
      ...objects.map((spec) => [shortestObject(spec, shortest), 0x7b] as const),
      ...arrays.map((spec) => [shortestArray(spec, shortest), 0x5b] as const),
      ...scalars.map((automaton) => [automaton.bytes[0]!, this.#frames.automaton(automaton, 0).ending] as const),
    ]
    return ways.reduce((a, b) => (b[0] < a[0] ? b : a))[1]
  }

  step(byte: number): readonly Outcome[] {
    const blank = afterBlank(this.#blanks, byte)
    if (blank >= 0) return [[this.#frames.value(this.#node, blank)]]
    return startValue(this.#frames, this.#frames.values.nodes[this.#node]!, byte)
  }

  resume(): Frame {
    return this
  }
}

/** The first byte of a value. */
export function startValue(frames: FrameMaker, node: ValueNode, byte: number): readonly Outcome[] {
  if (byte === 0x22) return node.strings.map(({ automaton, min, max }) => [frames.counted(automaton, 0, min, max)])
  if (byte === 0x7b) {
    return node.objects.map((spec) => [
      frames.object(spec, { phase: 'open', seen: new Uint32Array(spec.allowed.length), count: 0, blanks: 0, label: -1 }),
    ])
  }
  if (byte === 0x5b) return node.arrays.map((spec) => [frames.array(spec, 'open', 0, 0)])
  return node.scalars.flatMap((automaton) => frames.automaton(automaton, 0).step(byte))
}
