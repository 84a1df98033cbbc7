/**
 * A plan's packed file as JavaScript makes it, one tensor after the other: what the module's is compared with, byte by byte. Rounding is that of
 * core's checkpoint/quantise.ts.
 */
import { unsupportedError } from '@parscale/core/internal'
import { castBytes, type StoredDType } from '@parscale/core/internal/checkpoint'
import type { DType } from '@parscale/core/internal/graph'
import { isQuantised, type PlainWeight, type StoredData, type StoredWeight } from '@parscale/core/internal/model'
import { type FileHandle, openToRead, writeNewFile } from '@parscale/core/internal/node/disk'
import type { PackedTensor, PackPlan } from '../../src/pack-plan.ts'
import { type Layout, lanes, tensorBytes } from '../../src/packed-layout.ts'
import { quantisedPanel, transposed } from './panels.ts'

/** @param path must not be there */
export async function packInJavaScript(path: string, plan: PackPlan): Promise<void> {
  const files = new SourceFiles()
  try {
    await writeNewFile(path, (_, out) => writeTensors(out, plan, files))
  } finally {
    await files.close()
  }
}

async function writeTensors(
  out: FileHandle,
  { tensors, header, offsets, totalBytes }: PackPlan,
  files: SourceFiles,
): Promise<void> {
  await writeAt(out, header, 0)
  for (const [i, tensor] of tensors.entries()) {
    let at = offsets[i]!
    for await (const bytes of tensor.layout.isVector ? vectorBytes(files, tensor) : matrixBytes(files, tensor)) {
      await writeAt(out, bytes, at)
      at += bytes.byteLength
    }
  }
  await out.truncate(totalBytes) // the last tensor may end before
}

/** A write may take less than it is given: the disk's last bytes, say, before the next one fails. */
async function writeAt(out: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; )
    done += (await out.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten
}

async function* vectorBytes(files: SourceFiles, { stored, layout }: PackedTensor): AsyncGenerator<Uint8Array> {
  const floats = await files.floats(stored as PlainWeight, 0, layout.outputs)
  yield new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength)
}

/** Bytes of source rows that are turned into panels at once. */
const sourceBytesAtOnce = 4 << 20

async function* matrixBytes(files: SourceFiles, source: PackedTensor): AsyncGenerator<Uint8Array> {
  const { stored, layout } = source
  const { outputs, inputs } = layout
  const total = Math.ceil(outputs / lanes)
  const perPanel = tensorBytes(layout) / total
  const several = Math.max(1, Math.floor(sourceBytesAtOnce / perPanel))
  for (let first = 0; first < total; first += several) {
    const count = Math.min(several, total - first)
    const rows = Math.min(outputs, (first + count) * lanes) - first * lanes
    const bytes = new Uint8Array(count * perPanel)
    const panels = isQuantised(stored)
      ? await quantisedPanels(files, layout, stored, first * lanes, rows)
      : await floatPanels(files, layout, stored, first * lanes, rows)
    for (let panel = 0; panel < count; panel++)
      bytes.set(panels(panel * lanes, Math.min(lanes, rows - panel * lanes)), panel * perPanel)
    yield bytes
  }

  async function floatPanels(files: SourceFiles, layout: Layout, stored: PlainWeight, from: number, rows: number) {
    const data =
      layout.format === 'bfloat16'
        ? new Uint16Array(await files.read(stored.data, from * inputs * 2, rows * inputs * 2))
        : await files.floats(stored, from * inputs, rows * inputs)
    return (row: number, count: number): Uint8Array => {
      const part = data.subarray(row * inputs, (row + count) * inputs)
      const out = part instanceof Uint16Array ? new Uint16Array(inputs * lanes) : new Float32Array(inputs * lanes)
      transposed(part as Float32Array, inputs, out as Float32Array)
      return new Uint8Array(out.buffer)
    }
  }

  async function quantisedPanels(
    files: SourceFiles,
    layout: Layout,
    stored: Extract<StoredWeight, { blockSize: number }>,
    from: number,
    rows: number,
  ) {
    const blocks = inputs / stored.blockSize
    const rowBytes = (inputs * stored.bits) / 8
    const data = new Uint8Array(await files.read(stored.data, from * rowBytes, rows * rowBytes))
    const scales = new Float32Array(await files.read(stored.scales, from * blocks * 4, rows * blocks * 4))
    const zeros = stored.zeroPoints && (await zeroPoints(files, stored, blocks, from, rows))
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
  files: SourceFiles,
  { bits, zeroPoints }: Extract<StoredWeight, { blockSize: number }>,
  blocks: number,
  from: number,
  rows: number,
): Promise<Float32Array> {
  if (zeroPoints!.dtype === 'float32')
    return new Float32Array(await files.read(zeroPoints!.data, from * blocks * 4, rows * blocks * 4))
  const rowBytes = Math.ceil((blocks * bits) / 8)
  const packed = new Uint8Array(await files.read(zeroPoints!.data, from * rowBytes, rows * rowBytes))
  return Float32Array.from({ length: rows * blocks }, (_, i) => {
    const [row, block] = [Math.floor(i / blocks), i % blocks]
    if (bits === 8) return packed[row * rowBytes + block]!
    return (packed[row * rowBytes + (block >> 1)]! >> (4 * (block & 1))) & 15
  })
}

const dtypes: Partial<Record<DType, StoredDType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' }

/** Reads parts of a checkpoint's files, each of which is opened once. */
class SourceFiles {
  readonly #open = new Map<string, Promise<FileHandle>>()

  async read({ path, offset, byteLength, made }: StoredData, from: number, length: number): Promise<ArrayBuffer> {
    if (made) return (await made.read(offset + from, length)).slice().buffer
    let file = this.#open.get(path)
    if (!file) {
      file = openToRead(path)
      this.#open.set(path, file)
    }
    const bytes = new Uint8Array(Math.min(length, Math.max(0, byteLength - from)))
    const { bytesRead } = await (await file).read(bytes, 0, bytes.byteLength, offset + from)
    if (bytesRead !== length)
      throw unsupportedError(`${path}: ends within a tensor, ${length} bytes were expected at ${offset + from}`)
    return bytes.buffer
  }

  /** `count` numbers from number `from` on, as float32. */
  async floats({ dtype, data }: PlainWeight, from: number, count: number): Promise<Float32Array> {
    const stored = dtypes[dtype]
    if (!stored)
      throw unsupportedError(`${data.path}: a weight is stored as ${dtype}; the native step reads float32, float16 and bfloat16`)
    const elementBytes = stored === 'F32' ? 4 : 2
    const bytes = new Uint8Array(await this.read(data, from * elementBytes, count * elementBytes))
    const wide = castBytes(bytes, stored, 'F32')
    return new Float32Array(wide.buffer, wide.byteOffset, count)
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) await (await file).close()
  }
}
