/**
 * Weights in float32 for an engine that does not widen them itself, or not well: ONNX Runtime's WebGPU has no bfloat16, and its WASM
 * widens quantised matrices anew at each step, which takes 25 times as long as the product. The graph points into a file that nobody
 * has, in which every number takes four bytes, and the bytes are made when a session asks for them.
 */
import { castBytes, dequantiseBlocks, type StoredDType } from '../../checkpoint/index.ts'
import type { ModelFiles } from '../../generation/index.ts'
import type { ExternalData } from '../../graph/index.ts'
import { type FindWeight, isQuantised, type QuantisedWeight } from '../../model/index.ts'

const stored: Readonly<Record<string, StoredDType>> = { float16: 'F16', bfloat16: 'BF16' }
const marker = 'widened:'

export function widenedFiles(files: ModelFiles): ModelFiles {
  return {
    ...files,
    findWeight: widened(files.findWeight),
    streamSets: files.streamSets.map((set) => ({ ...set, findWeight: widened(set.findWeight) })),
  }
}

function widened(find: FindWeight): FindWeight {
  return (name, shape) => {
    const found = find(name, shape)
    const dtype = 'dtype' in found ? stored[found.dtype] : undefined
    if (!dtype) return found
    const { path, offset, byteLength } = found.data as ExternalData
    // Offsets double with lengths, so that rows of it are found where rows of the original are.
    return { dtype: 'float32', data: { path: `${marker}${dtype}:${path}`, offset: 2 * offset, byteLength: 2 * byteLength } }
  }
}

const inFullMarker = 'in full:'

/** Quantised matrices of the backbone in float32 where they are multiplied with. */
export function filesInFull(files: ModelFiles): ModelFiles {
  const findWeight: FindWeight = (name, shape) => {
    const found = files.findWeight(name, shape)
    // Whole numbers as zeros are packed row by row; what we write and what GGUF files have is not.
    if (!isQuantised(found) || found.zeroPoints?.dtype === 'uint8') return found
    const byteLength = 4 * shape.reduce((product, size) => product * size, 1)
    return { ...found, inFull: { path: inFullMarker + JSON.stringify(found), offset: 0, byteLength } }
  }
  return { ...files, findWeight }
}

type Read = (path: string, from: number, length: number) => Promise<Uint8Array<ArrayBuffer>>

async function readInFull(place: ExternalData, read: Read): Promise<Uint8Array<ArrayBuffer>> {
  const { bits, blockSize, data, scales, zeroPoints } = JSON.parse(place.path.slice(inFullMarker.length)) as QuantisedWeight
  const [first, blocks] = [place.offset, place.byteLength].map((bytes) => bytes / (4 * blockSize)) as [number, number]
  /** Of the blocks, each of which has so many bytes. */
  const part = (whole: ExternalData, bytes: number) => read(whole.path, whole.offset + first * bytes, blocks * bytes)
  const floats = async (whole: ExternalData) => new Float32Array((await part(whole, 4)).buffer)
  const values = dequantiseBlocks(
    {
      data: await part(data, (blockSize * bits) / 8),
      scales: await floats(scales),
      zeroPoints: zeroPoints && (await floats(zeroPoints.data)),
    },
    { bits, blockSize },
  )
  return new Uint8Array(values.buffer)
}

/** The bytes of a place in a file, or in one that `widenedFiles` or `filesInFull` points into. */
export async function readPlace(
  { path, offset, byteLength }: ExternalData,
  blob: (path: string) => Blob,
): Promise<Uint8Array<ArrayBuffer>> {
  const read: Read = async (path, from, length) =>
    new Uint8Array(
      await blob(path)
        .slice(from, from + length)
        .arrayBuffer(),
    )
  if (path.startsWith(inFullMarker)) return await readInFull({ path, offset, byteLength }, read)
  if (!path.startsWith(marker)) return await read(path, offset, byteLength)
  const [dtype, ...rest] = path.slice(marker.length).split(':')
  const bytes = await read(rest.join(':'), offset / 2, byteLength / 2)
  return castBytes(bytes, dtype as StoredDType, 'F32') as Uint8Array<ArrayBuffer>
}
