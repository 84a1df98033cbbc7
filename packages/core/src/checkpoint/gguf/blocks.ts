/**
 * The element types of GGUF tensors that we read. Layouts are those of ggml's ggml-common.h. Quantised types are groups of
 * integers, w = scale * (q - zero) + minimum: unpacked here, and made float32 in the order of PyPI's gguf (quants.py), every
 * step rounded to float32, so that results agree bit for bit.
 */
import { halfToFloatBits } from '../half.ts'
import { castBytes } from '../read-tensor.ts'
import type { StoredDType } from '../tensor.ts'

/** How one block of a row is laid out. */
export interface BlockFormat {
  /** Number of the type in files, `ggml_type`. */
  readonly id: number
  /** Elements per block. */
  readonly elements: number
  /** Bytes per block. */
  readonly bytes: number
  /** How a block falls into groups of integers; undefined for floats. */
  readonly groups?: GroupFormat
}

export interface GroupFormat {
  /** Elements that share a scale. */
  readonly elements: number
  /** Of one integer. */
  readonly bits: number
  readonly zero: number
  /** Whether groups have a minimum; it is 0 else. */
  readonly minimum: boolean
  /** Takes the block that begins at `at` apart, as the `block`th of `out`. */
  unpack(data: DataView, at: number, out: IntegerGroups, block: number): void
}

/** The integers of whole blocks, with the scale and the minimum of each group. */
export interface IntegerGroups {
  readonly q: Uint8Array<ArrayBuffer>
  readonly scales: Float32Array<ArrayBuffer>
  readonly minima: Float32Array<ArrayBuffer>
}

export type GgmlType = 'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q4_K' | 'Q5_K' | 'Q6_K'

const { fround } = Math

export const blockFormats: Readonly<Record<GgmlType, BlockFormat>> = {
  F32: { id: 0, elements: 1, bytes: 4 },
  F16: { id: 1, elements: 1, bytes: 2 },
  BF16: { id: 30, elements: 1, bytes: 2 },
  // 32 elements: scale f16, 16 bytes of nibbles. The low nibbles are elements 0..15, the high ones 16..31.
  Q4_0: {
    id: 2,
    elements: 32,
    bytes: 18,
    groups: { elements: 32, bits: 4, zero: 8, minimum: false, unpack: smallBlock(4, false) },
  },
  // As Q4_0, with a minimum f16 after the scale.
  Q4_1: {
    id: 3,
    elements: 32,
    bytes: 20,
    groups: { elements: 32, bits: 4, zero: 0, minimum: true, unpack: smallBlock(4, true) },
  },
  // As Q4_0, with the fifth bits of all 32 elements in a u32 after the scale.
  Q5_0: {
    id: 6,
    elements: 32,
    bytes: 22,
    groups: { elements: 32, bits: 5, zero: 16, minimum: false, unpack: smallBlock(5, false) },
  },
  // Scale, minimum, fifth bits, nibbles.
  Q5_1: {
    id: 7,
    elements: 32,
    bytes: 24,
    groups: { elements: 32, bits: 5, zero: 0, minimum: true, unpack: smallBlock(5, true) },
  },
  // Scale f16, 32 signed bytes.
  Q8_0: {
    id: 8,
    elements: 32,
    bytes: 34,
    groups: {
      elements: 32,
      bits: 8,
      zero: 128,
      minimum: false,
      unpack(data, at, { q, scales }, block) {
        scales[block] = half(data, at)
        for (let i = 0; i < 32; i++) q[block * 32 + i] = data.getInt8(at + 2 + i) + 128
      },
    },
  },
  // 8 groups of 32: scale and minimum f16, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles.
  Q4_K: {
    id: 12,
    elements: 256,
    bytes: 144,
    groups: {
      elements: 32,
      bits: 4,
      zero: 0,
      minimum: true,
      unpack(data, at, { q, scales, minima }, block) {
        for (let group = 0; group < 8; group++) {
          const g = block * 8 + group
          ;[scales[g], minima[g]] = groupScale(data, at, group)
          const shift = (group & 1) * 4
          const nibbles = at + 16 + (group >>> 1) * 32
          for (let i = 0; i < 32; i++) q[g * 32 + i] = (data.getUint8(nibbles + i) >>> shift) & 15
        }
      },
    },
  },
  // As Q4_K, with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to element i of group g.
  Q5_K: {
    id: 13,
    elements: 256,
    bytes: 176,
    groups: {
      elements: 32,
      bits: 5,
      zero: 0,
      minimum: true,
      unpack(data, at, { q, scales, minima }, block) {
        for (let group = 0; group < 8; group++) {
          const g = block * 8 + group
          ;[scales[g], minima[g]] = groupScale(data, at, group)
          const shift = (group & 1) * 4
          const nibbles = at + 48 + (group >>> 1) * 32
          for (let i = 0; i < 32; i++) {
            const high = ((data.getUint8(at + 16 + i) >>> group) & 1) << 4
            q[g * 32 + i] = ((data.getUint8(nibbles + i) >>> shift) & 15) | high
          }
        }
      },
    },
  },
  // 16 groups of 16: 128 bytes of nibbles, 64 bytes of two upper bits, 16 signed scales, scale f16.
  // The two halves of 128 elements repeat one pattern: nibbles in 2 x 64 bytes, upper bits in 4 x 32.
  Q6_K: {
    id: 14,
    elements: 256,
    bytes: 210,
    groups: {
      elements: 16,
      bits: 6,
      zero: 32,
      minimum: false,
      unpack(data, at, { q, scales }, block) {
        const d = half(data, at + 208)
        for (let group = 0; group < 16; group++) scales[block * 16 + group] = d * data.getInt8(at + 192 + group)
        for (let i = 0; i < 256; i++) {
          const part = i >>> 7
          const within = i & 127
          const low = (data.getUint8(at + part * 64 + (within & 63)) >>> ((within >>> 6) * 4)) & 15
          const high = (data.getUint8(at + 128 + part * 32 + (within & 31)) >>> ((within >>> 5) * 2)) & 3
          q[block * 256 + i] = low | (high << 4)
        }
      },
    },
  },
}

/** One group of 32: scale f16, minimum f16 where there is one, fifth bits in a u32 where there are, 16 bytes of nibbles. */
function smallBlock(bits: 4 | 5, minimum: boolean): GroupFormat['unpack'] {
  const highAt = minimum ? 4 : 2
  const nibblesAt = highAt + (bits === 5 ? 4 : 0)
  return (data, at, { q, scales, minima }, block) => {
    scales[block] = half(data, at)
    if (minimum) minima[block] = half(data, at + 2)
    const high = bits === 5 ? data.getUint32(at + highAt, true) : 0
    for (let i = 0; i < 16; i++) {
      const pair = data.getUint8(at + nibblesAt + i)
      q[block * 32 + i] = (pair & 15) | (((high >>> i) & 1) << 4)
      q[block * 32 + 16 + i] = (pair >>> 4) | (((high >>> (i + 16)) & 1) << 4)
    }
  }
}

/** Scale and minimum of one group of Q4_K and Q5_K: 6 bits each, the upper groups' bits spread over two places. */
function groupScale(data: DataView, at: number, group: number): [scale: number, minimum: number] {
  const scales = at + 4
  const byte = (i: number) => data.getUint8(scales + i)
  const lower = group < 4
  const scale = lower ? byte(group) & 63 : (byte(group + 4) & 15) | ((byte(group - 4) >>> 2) & 48)
  const minimum = lower ? byte(group + 4) & 63 : (byte(group + 4) >>> 4) | ((byte(group) >>> 2) & 48)
  return [half(data, at) * scale, -half(data, at + 2) * minimum]
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

function half(data: DataView, at: number): number {
  bits[0] = halfToFloatBits(data.getUint16(at, true))
  return float[0]!
}

/** The integers of whole blocks, with their scales and minima. */
export function unpackBlocks(format: BlockFormat & { readonly groups: GroupFormat }, bytes: Uint8Array): IntegerGroups {
  const { groups } = format
  const blocks = bytes.byteLength / format.bytes
  const count = (blocks * format.elements) / groups.elements
  const out = {
    q: new Uint8Array(blocks * format.elements),
    scales: new Float32Array(count),
    minima: new Float32Array(count),
  }
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let block = 0; block < blocks; block++) groups.unpack(data, block * format.bytes, out, block)
  return out
}

/** Elements of whole blocks, as float32. */
export function decodeBlocks(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const { groups, ...format } = blockFormats[type]
  if (!groups) return new Float32Array(castBytes(bytes, type as StoredDType, 'F32').slice().buffer)
  const { q, scales, minima } = unpackBlocks({ ...format, groups }, bytes)
  const out = new Float32Array(q.length)
  for (let i = 0; i < out.length; i++) {
    const group = Math.floor(i / groups.elements)
    const product = scales[group]! * (q[i]! - groups.zero)
    // Not without a minimum: adding 0 would make 0 of -0.
    out[i] = groups.minimum ? fround(product) + minima[group]! : product
  }
  return out
}

/** Types that GGUF files may hold and we cannot read, by number: errors call them by name. */
export const unsupportedTypeNames: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
  40: 'NVFP4',
  41: 'Q1_0',
}
