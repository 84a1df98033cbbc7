/** What a value may be, compiled: what the machine runs. */
import type { ByteAutomaton } from '../automata/byte-automaton.ts'
import type { StringSpec } from './strings.ts'

/** A kind of values. Nodes name each other by their numbers, so that they can be recursive. */
export interface ValueNode {
  // Each in the order of their shortest values.
  /** Automata over the text of a value that is no string and has no parts: numbers, `true`, `null`. */
  readonly scalars: readonly ByteAutomaton[]
  readonly strings: readonly StringSpec[]
  readonly objects: readonly ObjectSpec[]
  readonly arrays: readonly ArraySpec[]
}

export interface ObjectSpec {
  readonly id: number
  /** Names of properties; label i of the keys' automaton is name i, labels from `names.length` on are keys that have no name here. */
  readonly names: readonly string[]
  /** [labels]: the node of the value. */
  readonly nodes: readonly number[]
  readonly keys: ByteAutomaton
  /** [states of keys, ceil(names / 32)]: names that a key may still become, one bit each. */
  readonly reach: Uint32Array
  /** [states of keys]: 1 where a key may still become one without a name. */
  readonly reachesFree: Uint8Array
  /** Bits of the names that a value must have, and of those that it may have. */
  readonly required: Uint32Array
  readonly allowed: Uint32Array
  readonly hasFree: boolean
  readonly min: number
  readonly max: number
}

export interface ArraySpec {
  readonly id: number
  /** Nodes of the first items. */
  readonly first: readonly number[]
  /** Node of the others. */
  readonly rest: number
  readonly min: number
  readonly max: number
}

/** A compiled schema. */
export interface Values {
  readonly nodes: readonly ValueNode[]
  readonly root: number
  /** [nodes]: bytes of the shortest value, Infinity where there is none. */
  readonly shortest: Float64Array
}

/** Bytes of the shortest object of a kind, from those of its values. */
export function shortestObject({ names, nodes, required, min, keys }: ObjectSpec, shortest: Float64Array): number {
  let bytes = 2
  let count = 0
  names.forEach((name, i) => {
    if (((required[i >> 5]! >>> (i & 31)) & 1) === 0) return
    count++
    bytes += JSON.stringify(name).length + 2 + shortest[nodes[i]!]!
  })
  return bytes + Math.max(0, min - count) * (keys.bytes[0]! + 4)
}

export function shortestArray({ first, rest, min, max }: Omit<ArraySpec, 'id'>, shortest: Float64Array): number {
  if (min > max) return Infinity
  let bytes = 2
  const of = (node: number): number => (node < 0 ? Infinity : shortest[node]!)
  for (let i = 0; i < Math.min(min, first.length); i++) bytes += of(first[i]!) + 1
  return min > first.length ? bytes + (min - first.length) * (of(rest) + 1) : bytes
}

export const shortestString = ({ automaton, min }: StringSpec): number => 1 + Math.max(automaton.bytes[0]!, min)
