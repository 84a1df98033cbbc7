/** Quantises a tiny model in the plainest way, and gives beside it the same model with the rounded weights in float32. */
import { writeFileSync } from 'node:fs'
import { readF32, type StoredTensor } from '../checkpoint/index.ts'
import type { ModelFiles } from '../generation/index.ts'
import type { FindWeight, QuantisedWeight } from '../model/index.ts'
import type { ModelFolder } from '../node/index.ts'

export type ZeroPoints = 'none' | 'uint8' | 'float32'

export interface QuantiseOptions {
  readonly bits: 4 | 8
  readonly blockSize: number
  readonly zeroPoints?: ZeroPoints
}

export interface QuantisedBytes {
  readonly data: Uint8Array
  readonly scales: Float32Array
  readonly zeroPoints: Uint8Array | Float32Array | undefined
  /** (q - zero) * scale of every element. */
  readonly rounded: Float32Array
}

/** Rows [N, K] by blocks along K. Each block's numbers are spread over all of 0 to 2^bits - 1. */
export function quantiseMatrix(values: Float32Array, K: number, options: QuantiseOptions): QuantisedBytes {
  const { bits, blockSize, zeroPoints = 'none' } = options
  const [top, N, blocks] = [2 ** bits - 1, values.length / K, K / blockSize]
  const codes = new Uint8Array(values.length)
  const zeros = new Float32Array(N * blocks)
  const scales = new Float32Array(N * blocks)
  const rounded = new Float32Array(values.length)
  for (let block = 0; block < N * blocks; block++) {
    const from = block * blockSize
    const part = values.subarray(from, from + blockSize)
    const [low, high] = [Math.min(0, ...part), Math.max(0, ...part)]
    const middle = 2 ** (bits - 1)
    const scale = Math.fround(zeroPoints === 'none' ? Math.max(-low, high) / (middle - 1) : (high - low) / top)
    const zero = zeroPoints === 'none' ? middle : zeroPoints === 'uint8' ? Math.round(-low / scale) : Math.fround(-low / scale)
    scales[block] = scale
    zeros[block] = zero
    for (const [i, value] of part.entries()) {
      codes[from + i] = Math.max(0, Math.min(top, Math.round(value / scale + zero)))
      rounded[from + i] = (codes[from + i]! - zero) * scale
    }
  }
  const packedZeros = () => {
    if (zeroPoints !== 'uint8') return zeroPoints === 'none' ? undefined : zeros
    return pack(Uint8Array.from(zeros), bits, blocks)
  }
  return { data: pack(codes, bits, K), scales, zeroPoints: packedZeros(), rounded }
}

/** Rows of `width` codes, each row from a byte of its own; of 4 bits, the first of two in the low nibble. */
function pack(codes: Uint8Array, bits: 4 | 8, width: number): Uint8Array {
  if (bits === 8) return codes
  const rowBytes = Math.ceil(width / 2)
  const out = new Uint8Array((codes.length / width) * rowBytes)
  for (let i = 0; i < codes.length; i++) {
    const [row, column] = [Math.floor(i / width), i % width]
    out[row * rowBytes + (column >> 1)]! |= codes[i]! << (4 * (column & 1))
  }
  return out
}

/** `files` with every matrix quantised whose rows can be: once as such, once in float32. Writes both below `folder`. */
export async function quantiseModel(
  open: ModelFolder,
  files: ModelFiles,
  folder: string,
  options: QuantiseOptions,
): Promise<{ quantised: ModelFiles; rounded: ModelFiles }> {
  const matrices = new Map<string, QuantisedBytes>()
  for (const { name, shape, ...tensor } of open.tensors.values()) {
    const K = shape[1] ?? 0
    if (shape.length !== 2 || K % options.blockSize !== 0) continue
    matrices.set(name, quantiseMatrix(await readF32({ name, shape, ...tensor } as StoredTensor), K, options))
  }
  const parts: Uint8Array[] = []
  const path = `${folder}/weights-${options.bits}-${options.blockSize}-${options.zeroPoints}.bin`
  let offset = 0
  // All data, then all scales and so on: neighbouring layers lie side by side.
  const store = (of: (matrix: QuantisedBytes) => Uint8Array | Float32Array | undefined) =>
    new Map(
      [...matrices].map(([name, matrix]) => {
        const values = of(matrix) ?? new Uint8Array()
        const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
        parts.push(bytes)
        offset += bytes.length
        return [name, { path, offset: offset - bytes.length, byteLength: bytes.length }]
      }),
    )
  const data = store((m) => m.data)
  const scales = store((m) => m.scales)
  const zeros = store((m) => m.zeroPoints)
  const full = store((m) => m.rounded)
  const quantised = new Map<string, QuantisedWeight>()
  const rounded = new Map<string, ReturnType<FindWeight>>()
  for (const [name, { zeroPoints }] of matrices) {
    const dtype = zeroPoints instanceof Float32Array ? 'float32' : 'uint8'
    quantised.set(name, {
      bits: options.bits,
      blockSize: options.blockSize,
      data: data.get(name)!,
      scales: scales.get(name)!,
      zeroPoints: zeroPoints && { dtype, data: zeros.get(name)! },
    })
    rounded.set(name, { dtype: 'float32', data: full.get(name)! })
  }
  writeFileSync(path, Buffer.concat(parts))
  const using = (weights: ReadonlyMap<string, ReturnType<FindWeight>>): ModelFiles => {
    const findWeight: FindWeight = (name, shape) => weights.get(name) ?? files.findWeight(name, shape)
    return { ...files, findWeight, streamSets: files.streamSets.map((set) => ({ ...set, findWeight })) }
  }
  return { quantised: using(quantised), rounded: using(rounded) }
}
