/**
 * Reads the header of a GGUF file, version 2 or 3: metadata, then tensor descriptions, then aligned data. Specification:
 * ggml/docs/gguf.md. No tensor data is read here.
 *
 * Written out rather than taken from a library, because files are hostile: memory must be bounded by the file's length.
 */
import { checkpointError, unsupportedError } from '../../errors.ts'
import type { ByteSource } from '../byte-source.ts'
import { blockFormats, type GgmlType, unsupportedTypeNames } from './blocks.ts'
import { type GgufCursor, ggufCursor } from './cursor.ts'
import type { GgufMetadata, GgufValue } from './value.ts'
import { readGgufValue } from './values.ts'

export type { GgufArray, GgufMetadata, GgufValue } from './value.ts'

/** One tensor of a GGUF file: where its blocks lie. */
export interface GgufTensor {
  /** llama.cpp's name, such as "blk.0.attn_q.weight". */
  readonly name: string
  readonly type: GgmlType
  /** Row-major, slowest axis first: the reverse of the order in the file. */
  readonly shape: readonly number[]
  readonly source: ByteSource
  readonly offset: number
  readonly byteLength: number
}

export interface GgufFile {
  readonly version: number
  readonly metadata: GgufMetadata
  readonly tensors: ReadonlyMap<string, GgufTensor>
}

/** "GGUF", read as a little-endian number. */
const magic = 0x46554747
/** Axes of a tensor in ggml, `GGML_MAX_DIMS`. */
const maxRank = 4
/** The least that an entry can take: key length, type, one byte; name length, rank, type, offset. */
const leastMetadataBytes = 13
const leastTensorBytes = 24

/**
 * Parses everything before the data, each claim checked against the source's length before memory is taken for it.
 *
 * @throws checkpoint error naming the file, the entry, what was expected and what was found; unsupported error for
 *   version 1, big-endian files and tensor types that we cannot read
 */
export async function parseGguf(source: ByteSource): Promise<GgufFile> {
  const file = source.name
  const cursor = ggufCursor(source)
  const version = await readVersion(cursor, file)
  const tensorCount = await cursor.count(leastTensorBytes, 'number of tensors')
  const metadataCount = await cursor.count(leastMetadataBytes, 'number of metadata entries')

  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < metadataCount; i++) {
    const key = await cursor.text(`key of metadata entry ${i}`)
    if (metadata.has(key)) throw checkpointError(`${file}: metadata ${key} occurs twice`, { file, found: key })
    metadata.set(key, await readGgufValue(cursor, file, key))
  }
  const alignment = readAlignment(metadata, file)

  const descriptions: TensorDescription[] = []
  for (let i = 0; i < tensorCount; i++) descriptions.push(await readDescription(cursor, file, i))
  const dataStart = Math.ceil(cursor.position() / alignment) * alignment
  const tensors = new Map<string, GgufTensor>()
  for (const description of descriptions) {
    if (tensors.has(description.name)) {
      throw checkpointError(`${file}: tensor ${description.name} occurs twice`, { file, tensor: description.name })
    }
    tensors.set(description.name, locate(source, description, dataStart, alignment))
  }
  checkOverlaps(file, [...tensors.values()])
  return { version, metadata, tensors }
}

async function readVersion(cursor: GgufCursor, file: string): Promise<number> {
  const found = await cursor.u32('magic')
  if (found !== magic) {
    throw checkpointError(`${file}: a GGUF file begins with "GGUF", got bytes 0x${found.toString(16)}; check the path`, {
      file,
      expected: magic,
      found,
    })
  }
  const version = await cursor.u32('version')
  if (version !== 0 && (version & 0xffff) === 0) {
    throw unsupportedError(`${file}: the file is big-endian; convert it with gguf-convert-endian of PyPI's gguf`, { file })
  }
  if (version !== 2 && version !== 3) {
    throw unsupportedError(`${file}: GGUF version ${version} is not supported; supported are 2 and 3`, { file, found: version })
  }
  return version
}

function readAlignment(metadata: GgufMetadata, file: string): number {
  const alignment = metadata.get('general.alignment') ?? 32
  if (typeof alignment !== 'number' || alignment < 8 || !Number.isInteger(Math.log2(alignment))) {
    throw checkpointError(`${file}: general.alignment should be a power of two from 8 on, got ${alignment}`, {
      file,
      found: alignment,
    })
  }
  return alignment
}

interface TensorDescription {
  readonly name: string
  readonly type: GgmlType
  readonly shape: readonly number[]
  /** From the start of the data. */
  readonly offset: bigint
}

async function readDescription(cursor: GgufCursor, file: string, index: number): Promise<TensorDescription> {
  const name = await cursor.text(`name of tensor ${index}`)
  const what = `tensor ${name}`
  const rank = await cursor.u32(`rank of ${what}`)
  if (rank < 1 || rank > maxRank) {
    throw checkpointError(`${file}: ${what} should have 1 to ${maxRank} axes, got ${rank}`, { file, tensor: name, found: rank })
  }
  const shape: number[] = []
  for (let axis = 0; axis < rank; axis++) {
    const size = await cursor.u64(`shape of ${what}`)
    if (size === 0n || size > BigInt(Number.MAX_SAFE_INTEGER)) {
      throw checkpointError(`${file}: ${what} has an axis of size ${size}`, { file, tensor: name, found: size })
    }
    shape.unshift(Number(size))
  }
  return {
    name,
    type: tensorType(await cursor.u32(`type of ${what}`), file, name),
    shape,
    offset: await cursor.u64(`offset of ${what}`),
  }
}

function tensorType(id: number, file: string, tensor: string): GgmlType {
  const supported = Object.keys(blockFormats) as GgmlType[]
  const type = supported.find((name) => blockFormats[name].id === id)
  if (type) return type
  throw unsupportedError(
    `${file}: tensor ${tensor} is stored as ${unsupportedTypeNames[id] ?? 'an unknown type'} (type ${id}), which is not supported; supported are ${supported.join(', ')}`,
    { file, tensor, expected: supported, found: unsupportedTypeNames[id] ?? id },
  )
}

/** Turns a description into a place in the file, which must be there. */
function locate(source: ByteSource, description: TensorDescription, dataStart: number, alignment: number): GgufTensor {
  const file = source.name
  const { name, type, shape } = description
  const format = blockFormats[type]
  const row = shape.at(-1)!
  if (row % format.elements !== 0) {
    throw checkpointError(
      `${file}: tensor ${name}: rows of ${type} should be whole blocks of ${format.elements}, got ${row} elements`,
      {
        file,
        tensor: name,
        expected: format.elements,
        found: row,
      },
    )
  }
  // Bigint, because a lying shape may have a product that no number holds exactly.
  const byteLength =
    (shape.reduce((product, size) => product * BigInt(size), 1n) / BigInt(format.elements)) * BigInt(format.bytes)
  const offset = BigInt(dataStart) + description.offset
  if (description.offset % BigInt(alignment) !== 0n || offset + byteLength > BigInt(source.size)) {
    throw checkpointError(
      `${file}: tensor ${name} takes ${byteLength} bytes at ${offset}, which should be aligned to ${alignment} and end by ${source.size}; the file is cut short or damaged`,
      { file, tensor: name, expected: source.size, found: offset + byteLength },
    )
  }
  return { name, type, shape, source, offset: Number(offset), byteLength: Number(byteLength) }
}

function checkOverlaps(file: string, tensors: readonly GgufTensor[]): void {
  const sorted = tensors.toSorted((a, b) => a.offset - b.offset)
  for (const [i, tensor] of sorted.entries()) {
    const before = sorted[i - 1]
    if (before && before.offset + before.byteLength > tensor.offset) {
      throw checkpointError(`${file}: tensors ${before.name} and ${tensor.name} overlap at byte ${tensor.offset}`, {
        file,
        tensor: tensor.name,
        expected: before.offset + before.byteLength,
        found: tensor.offset,
      })
    }
  }
}
