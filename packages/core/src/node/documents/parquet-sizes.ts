/**
 * Sizes that a Parquet file names, checked before hyparquet makes arrays and loops of them: in its Thrift structures (compact
 * protocol, github.com/apache/thrift, doc/specs/thrift-compact-protocol.md), in its schema and in its pages.
 */
import type { Compressors, FileMetaData } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import type { ByteSource } from '../../checkpoint/byte-source.ts'

/** Deepest nesting of structures; real files need eight. */
const maxDepth = 32
/** Page headers hold statistics of a page, which may be long texts. */
const maxHeaderBytes = 1 << 20
/** Rows that a byte of a file may stand for. Runs of one row take next to nothing, but texts to learn from are not such; each value costs 600 bytes. */
const mostRowsPerByte = 32
/** Bytes that come of a compressed one: gzip and zstd keep runs in as little. */
const mostExpansion = 1100

/** @throws Error for a footer whose structures cannot be what they say */
export async function checkFooter(source: ByteSource): Promise<void> {
  if (source.size < 12) throw new Error(`it has only ${source.size} bytes`)
  const end = source.size - 8
  const trailer = await source.read(end, 4)
  const length = new DataView(trailer.buffer, trailer.byteOffset).getUint32(0, true)
  if (length > end) throw new Error(`its footer has ${length} bytes, the file ${source.size}`)
  walkStruct(await source.read(end - length, length), 0)
}

/** @throws Error for counts that the file cannot hold */
export function checkCounts({ schema, row_groups }: FileMetaData, { size }: ByteSource): void {
  const children = schema.reduce((sum, { num_children = 0 }) => sum + (num_children >= 0 ? num_children : Number.NaN), 0)
  if (children !== schema.length - 1)
    throw new Error(`its schema has ${schema.length} elements, which name ${children} as their children`)
  for (const { num_rows, columns } of row_groups) {
    const counts = [num_rows, ...columns.map(({ meta_data }) => meta_data?.num_values ?? 0n)].map(Number)
    const wrong = counts.find((count) => !(count >= 0 && count <= mostRowsPerByte * size))
    if (wrong !== undefined) throw new Error(`it counts ${wrong} rows or values in ${size} bytes`)
  }
}

/** Looks at the headers of all pages of one group's column. @throws Error as checkFooter and checkCounts */
export async function checkPages(group: FileMetaData['row_groups'][number], column: string, source: ByteSource): Promise<void> {
  for (const { meta_data } of group.columns) {
    if (meta_data?.path_in_schema[0] !== column) continue
    const { dictionary_page_offset, data_page_offset, total_compressed_size } = meta_data
    // As the library finds the first page.
    let at = Math.min(Number(dictionary_page_offset || data_page_offset), Number(data_page_offset))
    let counted = 0
    const end = Math.min(source.size, at + Number(total_compressed_size))
    if (!(at >= 0 && at < end)) throw new Error(`its pages lie at ${at} of ${source.size} bytes`)
    while (at < end) {
      const header = await source.read(at, Math.min(maxHeaderBytes, end - at))
      const { next, integers } = walkStruct(header, 0)
      const page = integers.get(3) ?? -1 // compressed_page_size
      if (page < 0) throw new Error(`a page has ${page} bytes`)
      // num_values of data_page_header, dictionary_page_header and data_page_header_v2
      const values = [501, 701, 801].map((field) => integers.get(field) ?? 0)
      for (const count of values) counted += count >= 0 ? count : Number.NaN
      if (!(counted <= mostRowsPerByte * source.size))
        throw new Error(`pages count ${counted} values in a file of ${source.size} bytes`)
      at += next + page
    }
  }
}

/** Decompressors that refuse to make more than can come of their input. */
export const boundedCompressors: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([codec, decompress]): [string, typeof decompress] => [
    codec,
    (input, outputLength) => {
      if (!(outputLength >= 0 && outputLength <= mostExpansion * input.length + 1024))
        throw new Error(`${outputLength} bytes cannot come of ${input.length} that are compressed`)
      if (codec === 'ZSTD') checkZstdFrame(input, outputLength)
      return decompress(input, outputLength)
    },
  ]),
)

/** Its window is at most this in files as they are written (level 19). */
const mostZstdWindow = 8 << 20

/** The decompressor makes arrays as large as a frame's header says (RFC 8878, 3.1.1.1). @throws Error where that is more than is wanted */
function checkZstdFrame(input: Uint8Array, outputLength: number): void {
  if (input.length < 16) return
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength)
  const descriptor = view.getUint8(4)
  const isSingle = (descriptor & 32) !== 0
  const window = view.getUint8(5)
  const windowBytes = isSingle ? 0 : 2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8)
  const at = (isSingle ? 5 : 6) + [0, 1, 2, 4][descriptor & 3]!
  const read = [
    () => (isSingle ? view.getUint8(at) : 0),
    () => view.getUint16(at, true) + 256,
    () => view.getUint32(at, true),
    () => Number(view.getBigUint64(at, true)),
  ]
  if (windowBytes > mostZstdWindow || read[descriptor >> 6]!() > outputLength)
    throw new Error(`a zstd frame says that it has more than ${outputLength} bytes`)
}

/** Where a structure ends, and its integers by field; 100 times the field of a structure within it and its field there. @throws Error where a length is more than the bytes there are */
function walkStruct(bytes: Uint8Array, start: number): { readonly next: number; readonly integers: ReadonlyMap<number, number> } {
  const integers = new Map<number, number>()
  let at = start
  const byte = (): number => {
    if (at >= bytes.length) throw new Error('a structure ends early')
    return bytes[at++]!
  }
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const next = byte()
      value += (next & 127) * scale
      if (next < 128) return value
      if (scale > 2 ** 63) throw new Error('an integer has too many bytes')
    }
  }
  const skip = (length: number): void => {
    if (length > bytes.length - at) throw new Error(`a value of ${length} bytes lies in ${bytes.length - at}`)
    at += length
  }
  const struct = (depth: number, parent = 0): void => {
    for (let field = 0, head = byte(); (head & 15) !== 0; head = byte()) {
      field = head >> 4 ? field + (head >> 4) : unzigzag(varint())
      const value = element(head & 15, depth, field)
      if (depth <= 1 && value !== undefined) integers.set(100 * parent + field, value)
    }
  }
  const element = (type: number, depth: number, field = 0): number | undefined => {
    if (depth > maxDepth) throw new Error(`structures are nested more than ${maxDepth} deep`)
    if (type === 3) skip(1)
    else if (type === 4 || type === 5 || type === 6) return unzigzag(varint())
    else if (type === 7) skip(8)
    else if (type === 8) skip(varint())
    else if (type === 9) list(depth + 1)
    else if (type === 12) struct(depth + 1, field)
    else if (type > 2) throw new Error(`a value is of the unknown type ${type}`)
    return undefined
  }
  const list = (depth: number): void => {
    const head = byte()
    const size = head >> 4 === 15 ? varint() : head >> 4
    if (size > bytes.length - at) throw new Error(`a list of ${size} lies in ${bytes.length - at} bytes`)
    const type = head & 15
    for (let i = 0; i < size; i++) element(type === 1 || type === 2 ? 3 : type, depth)
  }
  struct(0)
  return { next: at, integers }
}

const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2)
