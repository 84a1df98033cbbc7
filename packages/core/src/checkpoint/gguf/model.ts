/**
 * A GGUF file as the Hugging Face checkpoint it came from: config.json and tensors under their names, quantised blocks as
 * F32, everything else as stored. Data is decoded only when a tensor's chunks are asked for.
 */
import { checkpointError, unsupportedError } from '../../errors.ts'
import type { StoredRows } from '../../model/index.ts'
import type { ByteSource } from '../byte-source.ts'
import { parseModelConfig, requireLayers } from '../config.ts'
import { chunkBytes } from '../read-tensor.ts'
import type { StoredDType } from '../tensor.ts'
import type { TensorStream } from '../tensor-stream.ts'
import { blockFormats, decodeBlocks, type GgmlType } from './blocks.ts'
import { ggufArchitecture, ggufConfig } from './config.ts'
import { type GgufFile, type GgufMetadata, type GgufTensor, parseGguf } from './gguf.ts'
import { ggufNames } from './names.ts'
import { recogniseRopeFreqs } from './rope.ts'

export interface GgufModel {
  /** As parseModelConfig accepts it. */
  readonly configJson: Readonly<Record<string, unknown>>
  /** Hugging Face names, sorted as in the file. */
  readonly tensors: readonly GgufStream[]
  readonly metadata: GgufMetadata
}

/** A tensor's data as floats, and as the file stores it. */
export interface GgufStream extends TensorStream<StoredDType> {
  readonly type: GgmlType
  /** Where they lie, in a file of a path; undefined where they are not the numbers of the tensor. */
  readonly rows: StoredRows | undefined
  /** The stored blocks in pieces of whole blocks, rows in Hugging Face's order. */
  blocks(): AsyncIterable<Uint8Array>
}

const ropeFreqs = 'rope_freqs.weight'

/**
 * Reads a GGUF file's header, and rope_freqs.weight where it is there.
 *
 * @throws as parseGguf; unsupported error for an architecture, feature or tensor that we do not know, by name
 */
export async function readGgufModel(source: ByteSource): Promise<GgufModel> {
  const gguf = await parseGguf(source)
  const file = source.name
  const configJson = await readConfig(gguf, file)
  const family = ggufArchitecture(gguf.metadata, file)
  const config = parseModelConfig(configJson, file)
  requireLayers(config, gguf.tensors.size, file)
  const names = ggufNames(config, family)
  const tensors = [...gguf.tensors.values()]
    .filter((tensor) => tensor.name !== ropeFreqs)
    .map((tensor) => {
      const named = names.get(tensor.name)
      if (!named) {
        throw unsupportedError(`${file}: tensor ${tensor.name} has no place in ${family.architecture} models as we know them`, {
          file,
          tensor: tensor.name,
        })
      }
      const stream = streamGgufTensor(tensor, named.name, named.permutedHeads)
      return named.offset ? shifted(stream, -named.offset, file) : stream
    })
  return { configJson, tensors, metadata: gguf.metadata }
}

/** config.json, its rotary scaling from rope_freqs.weight where that is there. */
async function readConfig(gguf: GgufFile, file: string): Promise<Record<string, unknown>> {
  const config = ggufConfig(gguf, file)
  const tensor = gguf.tensors.get(ropeFreqs)
  if (!tensor) return config
  const { headDim, ropeTheta } = parseModelConfig(config, file)
  if (tensor.shape.length !== 1 || tensor.shape[0] !== headDim / 2) {
    throw checkpointError(`${file}: tensor ${ropeFreqs} should be [${headDim / 2}], got [${tensor.shape}]`, {
      file,
      tensor: ropeFreqs,
      expected: [headDim / 2],
      found: tensor.shape,
    })
  }
  const divisors = decodeBlocks(tensor.type, await tensor.source.read(tensor.offset, tensor.byteLength))
  return ggufConfig(gguf, file, recogniseRopeFreqs(divisors, ropeTheta, file))
}

/** @param permutedInto number of heads whose rows are to be put back in Hugging Face's order */
function streamGgufTensor(tensor: GgufTensor, name: string, permutedInto?: number): GgufStream {
  const { type, shape } = tensor
  const blocks = permutedInto === undefined ? () => pieces(tensor) : unpermuted(tensor, permutedInto)
  const stored = type === 'F32' || type === 'F16' || type === 'BF16'
  return {
    name,
    shape,
    type,
    dtype: stored ? type : 'F32',
    rows: rowsOf(tensor, permutedInto),
    blocks,
    chunks: stored ? blocks : () => decoded(type, blocks()),
  }
}

function rowsOf({ type, shape, source, offset, byteLength }: GgufTensor, permutedInto?: number): StoredRows | undefined {
  const rows = shape[0]!
  if (!source.path) return undefined
  const interleaved = permutedInto === undefined ? 0 : rows / permutedInto
  return { path: source.path, offset, type: blockFormats[type].id, rowBytes: byteLength / rows, interleaved }
}

/** A tensor of floats with something added to each. @throws unsupported error for other types, in which no norm is stored */
function shifted(stream: GgufStream, by: number, file: string): GgufStream {
  const { name, type } = stream
  if (type !== 'F32') throw unsupportedError(`${file}: tensor ${name} is ${type}; norms are read as F32`, { file, tensor: name })
  async function* chunks() {
    for await (const bytes of stream.chunks()) {
      const values = new Float32Array(bytes.slice().buffer).map((x) => x + by)
      yield new Uint8Array(values.buffer)
    }
  }
  return { ...stream, rows: undefined, chunks, blocks: chunks }
}

async function* decoded(type: GgmlType, blocks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of blocks) yield new Uint8Array(decodeBlocks(type, bytes).buffer)
}

/** The stored bytes, in pieces of whole blocks. */
async function* pieces(tensor: GgufTensor, pieceBytes?: number): AsyncGenerator<Uint8Array> {
  const { source, offset, byteLength } = tensor
  const blockBytes = blockFormats[tensor.type].bytes
  const piece = pieceBytes ?? Math.floor(chunkBytes / blockBytes) * blockBytes
  for (let done = 0; done < byteLength; done += piece) {
    yield await source.read(offset + done, Math.min(piece, byteLength - done))
  }
}

/** The same with each head's rows put back. Rows are whole blocks, so that it does not matter how they are stored. */
function unpermuted(tensor: GgufTensor, heads: number): () => AsyncGenerator<Uint8Array> {
  const { type, shape } = tensor
  const rows = shape[0]!
  const headRows = rows / heads
  const headBytes = tensor.byteLength / heads
  if (!Number.isInteger(headRows / 2) || headBytes % blockFormats[type].bytes !== 0) {
    const file = tensor.source.name
    throw checkpointError(
      `${file}: tensor ${tensor.name}: ${rows} rows of ${type} are not ${heads} heads of even size and whole blocks`,
      { file, tensor: tensor.name },
    )
  }
  return async function* () {
    for await (const head of pieces(tensor, headBytes)) yield unpermuteHead(head, headRows)
  }
}

/** Rows 2j + s of a head, as llama.cpp keeps them, back to s * headRows / 2 + j. */
function unpermuteHead(head: Uint8Array, headRows: number): Uint8Array {
  const rowBytes = head.byteLength / headRows
  const out = new Uint8Array(head.byteLength)
  for (let row = 0; row < headRows; row++) {
    const to = (row % 2) * (headRows / 2) + Math.floor(row / 2)
    out.set(head.subarray(row * rowBytes, (row + 1) * rowBytes), to * rowBytes)
  }
  return out
}
