/**
 * The element types of GGUF tensors that we read, and how each block becomes float32. Layouts are those of ggml's
 * ggml-common.h; every step rounds to float32 in the order of PyPI's gguf (quants.py), so that results agree bit for bit.
 */
import { halfToFloatBits } from './half.ts'

/** How one block of a row is laid out. */
export interface BlockFormat {
  /** Number of the type in files, `ggml_type`. */
  readonly id: number
  /** Elements per block. */
  readonly elements: number
  /** Bytes per block. */
  readonly bytes: number
  /** Writes the elements of the block that begins at `at` to `out` from `to` on. */
  decode(data: DataView, at: number, out: Float32Array, to: number): void
}

export type GgmlType = 'F32' | 'F16' | 'BF16' | 'Q4_0' | 'Q4_1' | 'Q5_0' | 'Q5_1' | 'Q8_0' | 'Q4_K' | 'Q5_K' | 'Q6_K'

const { fround } = Math

export const blockFormats: Readonly<Record<GgmlType, BlockFormat>> = {
  F32: {
    id: 0,
    elements: 1,
    bytes: 4,
    decode(data, at, out, to) {
      out[to] = data.getFloat32(at, true)
    },
  },
  F16: {
    id: 1,
    elements: 1,
    bytes: 2,
    decode(data, at, out, to) {
      out[to] = half(data, at)
    },
  },
  BF16: {
    id: 30,
    elements: 1,
    bytes: 2,
    decode(data, at, out, to) {
      out[to] = asFloat(data.getUint16(at, true) << 16)
    },
  },
  // 32 elements: scale f16, 16 bytes of nibbles. The low nibbles are elements 0..15, the high ones 16..31.
  Q4_0: {
    id: 2,
    elements: 32,
    bytes: 18,
    decode(data, at, out, to) {
      const d = half(data, at)
      for (let i = 0; i < 16; i++) {
        const pair = data.getUint8(at + 2 + i)
        out[to + i] = d * ((pair & 15) - 8)
        out[to + 16 + i] = d * ((pair >>> 4) - 8)
      }
    },
  },
  // As Q4_0, with a minimum f16 after the scale.
  Q4_1: {
    id: 3,
    elements: 32,
    bytes: 20,
    decode(data, at, out, to) {
      const d = half(data, at)
      const m = half(data, at + 2)
      for (let i = 0; i < 16; i++) {
        const pair = data.getUint8(at + 4 + i)
        out[to + i] = fround(d * (pair & 15)) + m
        out[to + 16 + i] = fround(d * (pair >>> 4)) + m
      }
    },
  },
  // As Q4_0, with the fifth bits of all 32 elements in a u32 after the scale.
  Q5_0: {
    id: 6,
    elements: 32,
    bytes: 22,
    decode(data, at, out, to) {
      const d = half(data, at)
      const high = data.getUint32(at + 2, true)
      for (let i = 0; i < 16; i++) {
        const pair = data.getUint8(at + 6 + i)
        out[to + i] = d * (((pair & 15) | (((high >>> i) & 1) << 4)) - 16)
        out[to + 16 + i] = d * (((pair >>> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16)
      }
    },
  },
  // Scale, minimum, fifth bits, nibbles.
  Q5_1: {
    id: 7,
    elements: 32,
    bytes: 24,
    decode(data, at, out, to) {
      const d = half(data, at)
      const m = half(data, at + 2)
      const high = data.getUint32(at + 4, true)
      for (let i = 0; i < 16; i++) {
        const pair = data.getUint8(at + 8 + i)
        out[to + i] = fround(d * ((pair & 15) | (((high >>> i) & 1) << 4))) + m
        out[to + 16 + i] = fround(d * ((pair >>> 4) | (((high >>> (i + 16)) & 1) << 4))) + m
      }
    },
  },
  // Scale f16, 32 signed bytes.
  Q8_0: {
    id: 8,
    elements: 32,
    bytes: 34,
    decode(data, at, out, to) {
      const d = half(data, at)
      for (let i = 0; i < 32; i++) out[to + i] = d * data.getInt8(at + 2 + i)
    },
  },
  // 8 groups of 32: scale and minimum f16, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles.
  Q4_K: {
    id: 12,
    elements: 256,
    bytes: 144,
    decode(data, at, out, to) {
      for (let group = 0; group < 8; group++) {
        const { d, m } = groupScale(data, at, group)
        const shift = (group & 1) * 4
        const nibbles = at + 16 + (group >>> 1) * 32
        for (let i = 0; i < 32; i++) out[to + group * 32 + i] = fround(d * ((data.getUint8(nibbles + i) >>> shift) & 15)) - m
      }
    },
  },
  // As Q4_K, with 32 bytes of fifth bits before the nibbles: bit g of byte i belongs to element i of group g.
  Q5_K: {
    id: 13,
    elements: 256,
    bytes: 176,
    decode(data, at, out, to) {
      for (let group = 0; group < 8; group++) {
        const { d, m } = groupScale(data, at, group)
        const shift = (group & 1) * 4
        const nibbles = at + 48 + (group >>> 1) * 32
        for (let i = 0; i < 32; i++) {
          const high = ((data.getUint8(at + 16 + i) >>> group) & 1) << 4
          out[to + group * 32 + i] = fround(d * (((data.getUint8(nibbles + i) >>> shift) & 15) | high)) - m
        }
      }
    },
  },
  // 16 groups of 16: 128 bytes of nibbles, 64 bytes of two upper bits, 16 signed scales, scale f16.
  // The two halves of 128 elements repeat one pattern: nibbles in 2 x 64 bytes, upper bits in 4 x 32.
  Q6_K: {
    id: 14,
    elements: 256,
    bytes: 210,
    decode(data, at, out, to) {
      const d = half(data, at + 208)
      for (let i = 0; i < 256; i++) {
        const part = i >>> 7
        const within = i & 127
        const low = (data.getUint8(at + part * 64 + (within & 63)) >>> ((within >>> 6) * 4)) & 15
        const high = (data.getUint8(at + 128 + part * 32 + (within & 31)) >>> ((within >>> 5) * 2)) & 3
        out[to + i] = fround(d * data.getInt8(at + 192 + (i >>> 4))) * ((low | (high << 4)) - 32)
      }
    },
  },
}

/** Scale and minimum of one group of Q4_K and Q5_K: 6 bits each, the upper groups' bits spread over two places. */
function groupScale(data: DataView, at: number, group: number): { d: number; m: number } {
  const scales = at + 4
  const byte = (i: number) => data.getUint8(scales + i)
  const lower = group < 4
  const scale = lower ? byte(group) & 63 : (byte(group + 4) & 15) | ((byte(group - 4) >>> 2) & 48)
  const minimum = lower ? byte(group + 4) & 63 : (byte(group + 4) >>> 4) | ((byte(group) >>> 2) & 48)
  return { d: fround(half(data, at) * scale), m: fround(half(data, at + 2) * minimum) }
}

const bits = new Uint32Array(1)
const float = new Float32Array(bits.buffer)

function asFloat(pattern: number): number {
  bits[0] = pattern
  return float[0]!
}

const half = (data: DataView, at: number): number => asFloat(halfToFloatBits(data.getUint16(at, true)))

/** Elements of whole blocks, as float32. */
export function decodeBlocks(type: GgmlType, bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const format = blockFormats[type]
  const blocks = bytes.byteLength / format.bytes
  const out = new Float32Array(blocks * format.elements)
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0; i < blocks; i++) format.decode(data, i * format.bytes, out, i * format.elements)
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
