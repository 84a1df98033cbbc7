/** Rearranges a matrix's rows into panels of 16 outputs (kernels.h). All work on whole panels; missing rows of the last one are zeros. */
import { type Layout, lanes, panelBytes, recordBytes } from './packed-layout.ts'

/**
 * Puts floats [16, K] in the order [K][16].
 *
 * @param rows Float32Array, or the bits of bfloat16
 */
export function transposed<T extends Float32Array | Uint16Array>(rows: T, inputs: number, out: T): void {
  for (let row = 0; row < rows.length / inputs; row++) {
    for (let k = 0; k < inputs; k++) out[k * lanes + row] = rows[row * inputs + k]!
  }
}

/** Integers of 16 rows as MatMulNBits has them, with their scales and zero points [16, blocks], to records. */
export function quantisedPanel(
  layout: Layout,
  data: Uint8Array,
  scales: Float32Array,
  zeros: Float32Array | undefined,
): Uint8Array {
  const { inputs, blockSize, format } = layout
  const panel = new Uint8Array(panelBytes(layout))
  const floats = new Float32Array(panel.buffer)
  const words = new Uint32Array(panel.buffer)
  const blocks = inputs / blockSize
  const wordsPerRow = (inputs * (format === 'int8' ? 8 : 4)) / 32
  const wordsPerBlock = wordsPerRow / blocks
  const source = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)
  for (let row = 0; row < scales.length / blocks; row++) {
    for (let block = 0; block < blocks; block++) {
      let at = (block * recordBytes(layout)) / 4 + row
      const scale = scales[row * blocks + block]!
      floats[at] = scale
      at += lanes
      if (zeros) {
        floats[at] = -zeros[row * blocks + block]! * scale
        at += lanes
      }
      const from = row * wordsPerRow + block * wordsPerBlock
      for (let word = 0; word < wordsPerBlock; word++) {
        const bits = source[from + word]!
        words[at + word * lanes] = format === 'int8' ? bits : fours(bits)
      }
    }
  }
  return panel
}

/** Eight nibbles in order to four bytes that hold the first four in their low halves, the others in their high ones. */
const fours = (bits: number): number => nibblesToBytes(bits & 0xffff) | (nibblesToBytes(bits >>> 16) << 4)

function nibblesToBytes(x: number): number {
  const pairs = (x | (x << 8)) & 0x00ff00ff
  return (pairs | (pairs << 4)) & 0x0f0f0f0f
}
