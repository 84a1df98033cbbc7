/**
 * Weights in float32 for an engine that does not widen them itself: ONNX Runtime’s WebGPU has no bfloat16. The graph points into a
 * file that nobody has, in which every number takes four bytes, and the bytes are made when a session asks for them.
 */
import { castBytes, type StoredDType } from '../../checkpoint/index.ts'
import type { ModelFiles } from '../../generation/index.ts'
import type { ExternalData } from '../../graph/index.ts'
import type { FindWeight } from '../../model/index.ts'

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

/** The bytes of a place in a file, or in one that `widenedFiles` points into. */
export async function readPlace(
  { path, offset, byteLength }: ExternalData,
  blob: (path: string) => Blob,
): Promise<Uint8Array<ArrayBuffer>> {
  const read = async (path: string, from: number, length: number) =>
    new Uint8Array(
      await blob(path)
        .slice(from, from + length)
        .arrayBuffer(),
    )
  if (!path.startsWith(marker)) return await read(path, offset, byteLength)
  const [dtype, ...rest] = path.slice(marker.length).split(':')
  const bytes = await read(rest.join(':'), offset / 2, byteLength / 2)
  return castBytes(bytes, dtype as StoredDType, 'F32') as Uint8Array<ArrayBuffer>
}
