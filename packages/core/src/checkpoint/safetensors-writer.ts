/** Writes safetensors files as a stream: what is in memory at a time is the header or one piece of a tensor. */
import { checkpointError } from '../errors.ts'
import { dtypeBits } from './tensor.ts'
import { streamBytes, type TensorStream } from './tensor-stream.ts'

/** Where bytes go, in order. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>
}

/** transformers refuses files that do not say so. */
const metadata = { format: 'pt' }

/**
 * Writes a whole file. Every tensor is aligned to its elements, as the header is padded to 8 bytes: where the given order does
 * not do so, wider element types come first.
 *
 * @throws checkpoint error when a tensor's chunks are not as long as its shape says; whatever the sink or a stream throws
 */
export async function writeSafetensors(sink: ByteSink, tensors: readonly TensorStream[]): Promise<void> {
  const ordered = isAligned(tensors) ? tensors : tensors.toSorted((a, b) => dtypeBits[b.dtype] - dtypeBits[a.dtype])
  await sink.write(headerBytes(ordered))
  for (const tensor of ordered) {
    const expected = streamBytes(tensor)
    let written = 0
    for await (const bytes of tensor.chunks()) {
      await sink.write(bytes)
      written += bytes.byteLength
    }
    if (written !== expected) {
      throw checkpointError(
        `tensor ${tensor.name}: ${tensor.dtype} of shape [${tensor.shape}] takes ${expected} bytes, got ${written}`,
        {
          tensor: tensor.name,
          expected,
          found: written,
        },
      )
    }
  }
}

function isAligned(tensors: readonly TensorStream[]): boolean {
  let position = 0
  for (const tensor of tensors) {
    if (position % (dtypeBits[tensor.dtype] / 8) !== 0) return false
    position += streamBytes(tensor)
  }
  return true
}

function headerBytes(tensors: readonly TensorStream[]): Uint8Array {
  // A null prototype, because a tensor may be called __proto__.
  const header: Record<string, unknown> = Object.assign(Object.create(null), { __metadata__: metadata })
  let position = 0
  for (const tensor of tensors) {
    const end = position + streamBytes(tensor)
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [position, end] }
    position = end
  }
  const json = new TextEncoder().encode(JSON.stringify(header))
  const padded = Math.ceil(json.byteLength / 8) * 8
  const bytes = new Uint8Array(8 + padded).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true)
  bytes.set(json, 8)
  return bytes
}

/** A file of a sharded checkpoint and what goes into it. */
export interface Shard {
  readonly file: string
  readonly tensors: readonly TensorStream[]
}

/**
 * Divides tensors, in order, into files of at most `maxBytes` of data each (a larger tensor gets a file of its own).
 * One file is called model.safetensors; several are numbered as transformers numbers them.
 */
export function planShards(tensors: readonly TensorStream[], maxBytes: number): Shard[] {
  const groups: TensorStream[][] = [[]]
  let filled = 0
  for (const tensor of tensors) {
    const bytes = streamBytes(tensor)
    if (filled > 0 && filled + bytes > maxBytes) {
      groups.push([])
      filled = 0
    }
    groups.at(-1)!.push(tensor)
    filled += bytes
  }
  if (groups.length === 1) return [{ file: 'model.safetensors', tensors }]
  const number = (n: number) => String(n).padStart(5, '0')
  return groups.map((group, i) => ({ file: `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`, tensors: group }))
}

/** model.safetensors.index.json of several files, as an object. */
export function shardIndex(shards: readonly Shard[]): { metadata: { total_size: number }; weight_map: Record<string, string> } {
  const all = shards.flatMap((shard) => shard.tensors)
  return {
    metadata: { total_size: all.reduce((sum, tensor) => sum + streamBytes(tensor), 0) },
    weight_map: Object.fromEntries(shards.flatMap(({ file, tensors }) => tensors.map(({ name }) => [name, file]))),
  }
}
