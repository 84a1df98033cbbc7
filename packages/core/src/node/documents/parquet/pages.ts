/** Pages of a column, one in memory at a time; their headers are checked before anything is made of them. */
import type { ByteSource } from '../../../checkpoint/byte-source.ts'
import { crc32 } from '../../../training/data/crc32.ts'
import { type Cursor, hybridRuns, nextBytes, nextUint32 } from './bits.ts'
import { decompressPage } from './codecs.ts'
import type { Chunk } from './footer.ts'
import type { Leaf, SchemaNode } from './schema.ts'
import { countIn, numberIn, readStruct, structIn, ThriftEnd, type ThriftStruct } from './thrift.ts'
import { type Dictionary, readDictionary, readValues, type Values } from './values.ts'

export interface Page {
  /** Levels that it has, each with a value or the lack of one. */
  readonly count: number
  readonly repetition: () => number
  readonly definition: () => number
  readonly value: Values
}

/** Headers hold statistics of their page, which may be long texts; most are short. */
const headerBytes = [1 << 12, 1 << 16, 1 << 24]

/** @throws Error for pages that cannot be what they say */
export async function* readPages(source: ByteSource, chunk: Chunk, node: SchemaNode): AsyncGenerator<Page> {
  let dictionary: Dictionary | undefined
  let values = 0
  for (let at = chunk.start; at < chunk.end; ) {
    const { struct, length } = await readHeader(source, at, chunk.end)
    const size = countIn(struct, 3, 'the size of a page')
    if (size > chunk.end - at - length) throw new Error(`a page of ${size} bytes lies in ${chunk.end - at - length}`)
    const bytes = await source.read(at + length, size)
    at += length + size
    const checksum = numberIn(struct, 4)
    if (checksum !== undefined && crc32(bytes) !== checksum >>> 0) throw new Error('the checksum of a page is another one')
    const found = structIn(struct, 7)
    if (numberIn(struct, 1) === 2 && found) {
      const page = decompressPage(chunk.codec, bytes, countIn(struct, 2, 'the size of a page'))
      dictionary = readDictionary(page, countIn(found, 1, 'the number of values'), node.leaf!)
      continue
    }
    const page = dataPage(struct, bytes, chunk, node, dictionary)
    if (!page) continue
    values += page.count
    if (values > chunk.values) throw new Error(`pages count ${values} values, their column ${chunk.values}`)
    yield page
  }
  if (values !== chunk.values) throw new Error(`pages count ${values} values, their column ${chunk.values}`)
}

async function readHeader(source: ByteSource, at: number, end: number) {
  for (const [i, most] of headerBytes.entries()) {
    const length = Math.min(most, end - at)
    try {
      return readStruct(await source.read(at, length))
    } catch (error) {
      if (!(error instanceof ThriftEnd) || length < most || i === headerBytes.length - 1) throw error
    }
  }
  throw new Error('a page has no header')
}

/** undefined for a page of an index, which is passed over. */
function dataPage(
  header: ThriftStruct,
  bytes: Uint8Array,
  { codec }: Chunk,
  node: SchemaNode,
  dictionary: Dictionary | undefined,
): Page | undefined {
  const type = numberIn(header, 1)
  const size = countIn(header, 2, 'the size of a page')
  const leaf = node.leaf as Leaf
  const v1 = structIn(header, 5)
  const v2 = structIn(header, 8)
  if (type === 0 && v1) {
    const cursor = { bytes: decompressPage(codec, bytes, size), at: 0 }
    const repetition = levelsWithLength(cursor, node.repetitions, numberIn(v1, 4))
    const definition = levelsWithLength(cursor, node.definition, numberIn(v1, 3))
    const value = readValues(cursor.bytes.subarray(cursor.at), numberIn(v1, 2) ?? -1, leaf, dictionary)
    return { count: countIn(v1, 1, 'the number of values'), repetition, definition, value }
  }
  if (type === 3 && v2) {
    const cursor = { bytes, at: 0 }
    const definitionBytes = countIn(v2, 5, 'the length of levels')
    const repetitionBytes = countIn(v2, 6, 'the length of levels')
    const repetition = hybridRuns({ bytes: nextBytes(cursor, repetitionBytes), at: 0 }, bitsOf(node.repetitions))
    const definition = hybridRuns({ bytes: nextBytes(cursor, definitionBytes), at: 0 }, bitsOf(node.definition))
    const left = size - definitionBytes - repetitionBytes
    if (left < 0) throw new Error(`a page of ${size} bytes has levels of ${definitionBytes + repetitionBytes}`)
    const page = decompressPage(v2.fields[7] === false ? 0 : codec, bytes.subarray(cursor.at), left)
    const value = readValues(page, numberIn(v2, 4) ?? -1, leaf, dictionary)
    return { count: countIn(v2, 1, 'the number of values'), repetition, definition, value }
  }
  if (type === 1) return undefined
  throw new Error(`a page is of the unknown kind ${type}`)
}

const bitsOf = (most: number): number => 32 - Math.clz32(most)

function levelsWithLength(cursor: Cursor, most: number, encoding: number | undefined): () => number {
  if (most === 0) return () => 0
  if (encoding !== 3) throw new Error(`levels are encoded in a way that is not read (${encoding}); write them as RLE`)
  return hybridRuns({ bytes: nextBytes(cursor, nextUint32(cursor)), at: 0 }, bitsOf(most))
}
