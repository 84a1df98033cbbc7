/**
 * Reads the header of a safetensors file: eight bytes of length, a JSON object, then the data without holes.
 * Rules and the cap on the header are those of huggingface/safetensors, safetensors/src/tensor.rs.
 * No tensor data is read here.
 */
import { checkpointError, unsupportedError } from '../errors.ts'
import { elementCount } from '../model/parameters.ts'
import type { ByteSource } from './byte-source.ts'
import { isJsonObject, parseJsonBytes } from './json-text.ts'
import { type AnyDType, dtypeBits, type StoredTensor } from './tensor.ts'

/** Longest header the reference accepts, in bytes. */
export const maxHeaderBytes = 100_000_000

export interface SafetensorsFile {
  /** In the order of their bytes. */
  readonly tensors: readonly StoredTensor<AnyDType>[]
  /** The `__metadata__` entry: free text by key. */
  readonly metadata: Readonly<Record<string, string>>
}

/**
 * Parses the header and checks it against the real length of the source before anything is believed.
 *
 * @throws checkpoint error naming the file, the tensor, what was expected and what was found;
 *   unsupported error for an element type that safetensors does not define
 */
export async function parseSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const headerBytes = await readHeaderLength(source)
  const where = `${source.name}: the safetensors header`
  const header = parseJsonBytes(await source.read(8, headerBytes), where)
  if (!isJsonObject(header)) {
    throw checkpointError(`${where} should be a JSON object`, { file: source.name, found: header })
  }
  const dataStart = 8 + headerBytes
  const { __metadata__: metadata, ...entries } = header
  const tensors = Object.entries(entries).map(([name, entry]) => parseEntry(source, name, entry, dataStart))
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)
  checkLayout(source, tensors, dataStart)
  return { tensors, metadata: parseMetadata(source, metadata) }
}

async function readHeaderLength(source: ByteSource): Promise<number> {
  const file = source.name
  if (source.size < 8) {
    throw checkpointError(
      `${file}: a safetensors file begins with 8 bytes of header length, but has ${source.size} bytes in all`,
      {
        file,
      },
    )
  }
  const start = await source.read(0, 8)
  const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true)
  const most = Math.min(source.size - 8, maxHeaderBytes)
  if (length > BigInt(most)) {
    throw checkpointError(
      `${file}: the header claims ${length} bytes, but at most ${most} can be there; the file is cut short or not safetensors`,
      { file, expected: most, found: length },
    )
  }
  return Number(length)
}

function parseEntry(source: ByteSource, name: string, entry: unknown, dataStart: number): StoredTensor<AnyDType> {
  const file = source.name
  const fail = (what: string, found: unknown) =>
    checkpointError(`${file}: tensor ${name}: ${what}, got ${JSON.stringify(found)?.slice(0, 200) ?? 'nothing'}`, {
      file,
      tensor: name,
      found,
    })

  if (!isJsonObject(entry)) throw fail('its entry should be an object', entry)
  const { dtype, shape, data_offsets: offsets } = entry
  if (typeof dtype !== 'string') throw fail('dtype should be a string', dtype)
  if (!isDType(dtype)) {
    throw unsupportedError(`${file}: tensor ${name}: dtype "${dtype}" is not one that safetensors defines`, {
      file,
      tensor: name,
      expected: Object.keys(dtypeBits),
      found: dtype,
    })
  }
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail('shape should be a list of sizes', shape)
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    throw fail('data_offsets should be two positions', offsets)
  }
  const [begin, end] = offsets as [number, number]
  if (begin > end || end > source.size - dataStart) {
    throw fail(`data_offsets should lie in order within the ${source.size - dataStart} bytes of data`, offsets)
  }
  const bits = elementCount(shape) * dtypeBits[dtype]
  // A product past the safe integers is no length of any file, so that the comparison below also refuses it.
  if (bits !== (end - begin) * 8) {
    throw fail(`${dtype} of shape [${shape}] takes ${bits / 8} bytes`, end - begin)
  }
  return { name, dtype, shape, source, offset: dataStart + begin, byteLength: end - begin }
}

/** Tensors must fill the data exactly: no overlap, no hole, nothing behind the last. Expects them sorted by offset. */
function checkLayout(source: ByteSource, tensors: readonly StoredTensor<AnyDType>[], dataStart: number): void {
  const file = source.name
  let position = dataStart
  for (const tensor of tensors) {
    if (tensor.offset !== position) {
      const what = tensor.offset < position ? 'overlaps the one before it' : 'leaves a hole before it'
      throw checkpointError(
        `${file}: tensor ${tensor.name} ${what}: it should begin at byte ${position}, but begins at ${tensor.offset}`,
        {
          file,
          tensor: tensor.name,
          expected: position,
          found: tensor.offset,
        },
      )
    }
    position += tensor.byteLength
  }
  if (position !== source.size) {
    throw checkpointError(`${file}: the tensors end at byte ${position}, but the file has ${source.size} bytes`, {
      file,
      expected: position,
      found: source.size,
    })
  }
}

function parseMetadata(source: ByteSource, metadata: unknown): Record<string, string> {
  if (metadata === undefined) return {}
  if (!isJsonObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw checkpointError(`${source.name}: __metadata__ should map strings to strings`, { file: source.name, found: metadata })
  }
  return metadata as Record<string, string>
}

const isDType = (text: string): text is AnyDType => Object.hasOwn(dtypeBits, text)
const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
