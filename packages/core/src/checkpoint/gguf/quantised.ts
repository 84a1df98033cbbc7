/**
 * Takes a GGUF file's integers as they are, so that nothing is rounded a second time. What has a minimum gets a zero point of -minimum / scale, which is
 * as exact as a float32 is.
 */

import { type BlockShape, middle, packNibbles, type QuantisedBlocks } from '../quantise.ts'
import { blockFormats, type GgmlType, type GroupFormat, unpackBlocks } from './blocks.ts'

export interface CarriedFormat extends BlockShape {
  /** Blocks have zero points of their own. */
  readonly zeroPoints: boolean
}

/**
 * How blocks of a type are kept where at most so many bits are wanted; undefined where they have to be rounded again: types
 * of 5, 6 and 8 bits when 4 are wanted, and floats. 5 and 6 bits take 8.
 */
export function carriedFormat(type: GgmlType, mostBits: number): CarriedFormat | undefined {
  const { groups } = blockFormats[type]
  if (!groups || groups.bits > mostBits) return undefined
  return { bits: groups.bits === 4 ? 4 : 8, blockSize: groups.elements, zeroPoints: groups.minimum }
}

/** Stored blocks of a type that carriedFormat knows. */
export function carryBlocks(type: GgmlType, bytes: Uint8Array): QuantisedBlocks {
  const { groups, ...format } = blockFormats[type]
  if (!groups) throw new TypeError(`${type} has no integers`)
  const { q, scales, minima } = unpackBlocks({ ...format, groups }, bytes)
  const bits = groups.bits === 4 ? 4 : 8
  if (!groups.minimum) {
    const shift = middle(bits) - groups.zero
    if (shift !== 0) for (let i = 0; i < q.length; i++) q[i]! += shift
  }
  const zeroPoints = groups.minimum ? zerosOf(q, scales, minima, groups) : undefined
  return { data: bits === 4 ? packNibbles(q) : q, scales, zeroPoints }
}

/** w = scale * q + minimum = scale * (q - zero). Blocks of one value, where scale is 0, become 1 * value [in place]. */
function zerosOf(q: Uint8Array, scales: Float32Array, minima: Float32Array, { elements }: GroupFormat): Float32Array {
  const zeros = new Float32Array(scales.length)
  for (let group = 0; group < zeros.length; group++) {
    if (scales[group] !== 0) zeros[group] = -minima[group]! / scales[group]!
    else {
      scales[group] = minima[group]!
      q.fill(1, group * elements, (group + 1) * elements)
    }
  }
  return zeros
}
