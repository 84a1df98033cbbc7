/**
 * Keys or values in memory, as the engine reads them: so many entries of D numbers, each entry one place of one head. Stored as
 * float32, as float16, or as int8 with a scale for each entry: number = code * scale.
 */
import { Tensor } from 'onnxruntime-common'
import { narrowToHalves } from '../checkpoint/half.ts'
import { type KvType, kvBytes } from '../model/index.ts'
import type { TensorMemory } from '../runtime/index.ts'

type Codes = Float32Array<ArrayBufferLike> | Uint16Array<ArrayBufferLike> | Int8Array<ArrayBufferLike>

export class KvBlock {
  readonly #type: KvType
  readonly #headDim: number
  readonly #codes: Codes
  /** One for each entry; none but for int8. */
  readonly #scales: Float32Array<ArrayBufferLike>
  readonly #free: () => void

  private constructor(type: KvType, headDim: number, codes: Codes, scales: Float32Array<ArrayBufferLike>, free = () => {}) {
    this.#type = type
    this.#headDim = headDim
    this.#codes = codes
    this.#scales = scales
    this.#free = free
  }

  /** Zeros; in the engine's memory where it is given and has room. */
  static empty(type: KvType, headDim: number, entries: number, memory?: TensorMemory): KvBlock {
    const scales = type === 'int8' ? entries : 0
    const codes = entries * headDim
    const bytes = entries > 0 ? memory?.allocate(kvBlockBytes(type, headDim, entries)) : undefined
    if (!bytes) return new KvBlock(type, headDim, new kinds[type](codes), new Float32Array(scales))
    const { buffer, byteOffset } = bytes
    // Scales first, which have to lie on four bytes.
    const scalesFirst = new Float32Array(buffer, byteOffset, scales)
    const rest = new kinds[type](buffer, byteOffset + scalesFirst.byteLength, codes)
    return new KvBlock(type, headDim, rest, scalesFirst, () => memory!.free(bytes))
  }

  /** Gives the engine its memory back; the block cannot be used afterwards. */
  free(): void {
    this.#free()
  }

  /** A step's result `name` [..., D], with `name`_scale [...] of int8, over the engine's memory. */
  static from(type: KvType, headDim: number, results: Readonly<Record<string, Tensor>>, name: string): KvBlock {
    const data = results[name]!.data as Codes
    // Newer platforms have a class for halves; what counts here is their bits.
    const codes = type === 'f16' ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data
    const scales = type === 'int8' ? (results[`${name}_scale`]!.data as Float32Array) : new Float32Array()
    return new KvBlock(type, headDim, codes, scales)
  }

  /** Whether no entry holds NaN or infinity. */
  isFinite(at: number, count: number): boolean {
    const D = this.#headDim
    if (this.#type === 'int8') return allFinite(this.#scales.subarray(at, at + count))
    const codes = this.#codes.subarray(at * D, (at + count) * D)
    return codes instanceof Float32Array ? allFinite(codes) : codes.every((half) => (half & 0x7c00) !== 0x7c00)
  }

  /** Copies entries of another block of the same type and head size. */
  copy(to: number, source: KvBlock, from: number, count: number): void {
    const D = this.#headDim
    this.#codes.set(source.#codes.subarray(from * D, (from + count) * D), to * D)
    if (this.#type === 'int8') this.#scales.set(source.#scales.subarray(from, from + count), to)
  }

  /** Writes [entries, D], rounded to the block's type. */
  write(at: number, values: Float32Array): void {
    const D = this.#headDim
    const codes = this.#codes.subarray(at * D, at * D + values.length)
    if (codes instanceof Float32Array) codes.set(values)
    else if (codes instanceof Uint16Array) narrowToHalves(new Uint32Array(values.slice().buffer), codes)
    else for (let i = 0; i * D < values.length; i++) this.#scales[at + i] = quantise(values, codes, i * D, (i + 1) * D)
  }

  /** Feeds for the entries from `first` on, seen as [...shape, D], over the block's own memory; for int8 also `name`_scale [...shape]. */
  feeds(name: string, first: number, shape: readonly number[]): Record<string, Tensor> {
    const D = this.#headDim
    const end = first + shape.reduce((a, b) => a * b, 1)
    const codes = tensorOf(this.#codes.subarray(first * D, end * D), [...shape, D])
    if (this.#type !== 'int8') return { [name]: codes }
    return { [name]: codes, [`${name}_scale`]: new Tensor('float32', this.#scales.subarray(first, end), shape) }
  }
}

/** Bytes of a block. */
export const kvBlockBytes = (type: KvType, headDim: number, entries: number): number => entries * kvBytes(type, headDim)

const kinds: Readonly<
  Record<KvType, { new (length: number): Codes; new (buffer: ArrayBufferLike, byteOffset: number, length: number): Codes }>
> = { f32: Float32Array, f16: Uint16Array, int8: Int8Array }

function tensorOf(codes: Codes, shape: readonly number[]): Tensor {
  if (codes instanceof Float32Array) return new Tensor('float32', codes, shape)
  return codes instanceof Int8Array ? new Tensor('int8', codes, shape) : new Tensor('float16', codes, shape)
}

function allFinite(values: Float32Array): boolean {
  let zero = 0 // 0 * x is NaN for what is not finite
  for (let i = 0; i < values.length; i++) zero += 0 * values[i]!
  return zero === 0
}

/** Writes codes from -127 to 127 and returns their scale. */
function quantise(values: Float32Array, codes: Int8Array, from: number, to: number): number {
  let largest = 0
  for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(values[i]!))
  const inverse = largest === 0 ? 0 : 127 / largest
  for (let i = from; i < to; i++) codes[i] = Math.round(values[i]! * inverse)
  return largest / 127
}
