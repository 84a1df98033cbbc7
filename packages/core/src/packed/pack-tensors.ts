/** A checkpoint's tensors, quantised or not, as the packed file has them: the same numbers in another order. */
import { castBytes, type StoredDType } from '../checkpoint/index.ts'
import { unsupportedError } from '../errors.ts'
import type { DType } from '../graph/index.ts'
import { isQuantised, type PlainWeight, type QuantisedWeight, type StoredData } from '../model/index.ts'
import type { PackedTensor } from './pack-plan.ts'
import { type Layout, lanes, tensorBytes } from './packed-layout.ts'
import { quantisedPanel, transposed } from './panels.ts'

/** `length` bytes of stored data from its byte `from` on, in memory of their own. */
export type ReadStored = (data: StoredData, from: number, length: number) => Promise<ArrayBuffer>

/**
 * A tensor's bytes in pieces, in order. Nothing is rounded but integer zero points to float32 minima.
 *
 * @throws unsupported error for float types that no kernel reads; as `read`
 */
export async function* packedBytes(tensor: PackedTensor, read: ReadStored): AsyncGenerator<Uint8Array> {
  if (!tensor.layout.isVector) return yield* matrixBytes(tensor, read)
  const floats = await readFloats(read, tensor.stored as PlainWeight, 0, tensor.layout.outputs)
  yield new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)
}

/** Bytes of source rows that are turned into panels at once. */
const sourceBytesAtOnce = 4 << 20

async function* matrixBytes({ stored, layout }: PackedTensor, read: ReadStored): AsyncGenerator<Uint8Array> {
  const { outputs, inputs } = layout
  const total = Math.ceil(outputs / lanes)
  const perPanel = tensorBytes(layout) / total
  const several = Math.max(1, Math.floor(sourceBytesAtOnce / perPanel))
  for (let first = 0; first < total; first += several) {
    const count = Math.min(several, total - first)
    const rows = Math.min(outputs, (first + count) * lanes) - first * lanes
    const bytes = new Uint8Array(count * perPanel)
    const panels = isQuantised(stored)
      ? await quantisedPanels(read, layout, stored, first * lanes, rows)
      : await floatPanels(read, layout, stored, first * lanes, rows)
    for (let panel = 0; panel < count; panel++)
      bytes.set(panels(panel * lanes, Math.min(lanes, rows - panel * lanes)), panel * perPanel)
    yield bytes
  }

  async function floatPanels(read: ReadStored, layout: Layout, stored: PlainWeight, from: number, rows: number) {
    const data =
      layout.format === 'bfloat16'
        ? new Uint16Array(await read(stored.data, from * inputs * 2, rows * inputs * 2))
        : await readFloats(read, stored, from * inputs, rows * inputs)
    return (row: number, count: number): Uint8Array => {
      const part = data.subarray(row * inputs, (row + count) * inputs)
      const out = part instanceof Uint16Array ? new Uint16Array(inputs * lanes) : new Float32Array(inputs * lanes)
      transposed(part as Float32Array, inputs, out as Float32Array)
      return new Uint8Array(out.buffer)
    }
  }

  async function quantisedPanels(read: ReadStored, layout: Layout, stored: QuantisedWeight, from: number, rows: number) {
    const blocks = inputs / stored.blockSize
    const rowBytes = (inputs * stored.bits) / 8
    const data = new Uint8Array(await read(stored.data, from * rowBytes, rows * rowBytes))
    const scales = new Float32Array(await read(stored.scales, from * blocks * 4, rows * blocks * 4))
    const zeros = stored.zeroPoints && (await zeroPoints(read, stored, blocks, from, rows))
    return (row: number, count: number): Uint8Array =>
      quantisedPanel(
        layout,
        data.subarray(row * rowBytes, (row + count) * rowBytes),
        scales.subarray(row * blocks, (row + count) * blocks),
        zeros?.subarray(row * blocks, (row + count) * blocks),
      )
  }
}

/** [rows, blocks], whether they are stored as floats or as integers of as many bits as the data. */
async function zeroPoints(
  read: ReadStored,
  { bits, zeroPoints }: QuantisedWeight,
  blocks: number,
  from: number,
  rows: number,
): Promise<Float32Array> {
  if (zeroPoints!.dtype === 'float32') return new Float32Array(await read(zeroPoints!.data, from * blocks * 4, rows * blocks * 4))
  const rowBytes = Math.ceil((blocks * bits) / 8)
  const packed = new Uint8Array(await read(zeroPoints!.data, from * rowBytes, rows * rowBytes))
  return Float32Array.from({ length: rows * blocks }, (_, i) => {
    const [row, block] = [Math.floor(i / blocks), i % blocks]
    if (bits === 8) return packed[row * rowBytes + block]!
    return (packed[row * rowBytes + (block >> 1)]! >> (4 * (block & 1))) & 15
  })
}

const dtypes: Partial<Record<DType, StoredDType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }

/** `count` numbers from number `from` on. */
async function readFloats(read: ReadStored, { dtype, data }: PlainWeight, from: number, count: number): Promise<Float32Array> {
  const stored = dtypes[dtype]
  if (!stored)
    throw unsupportedError(`${data.path}: a weight is stored as ${dtype}; the native step reads float32, float16 and bfloat16`)
  const elementBytes = stored === 'F32' ? 4 : 2
  const bytes = new Uint8Array(await read(data, from * elementBytes, count * elementBytes))
  const wide = castBytes(bytes, stored, 'F32')
  return new Float32Array(wide.buffer, wide.byteOffset, count)
}
