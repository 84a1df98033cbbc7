/** A file's footer: its columns, and where the groups of rows keep them. */
import type { ByteSource } from '../../../checkpoint/byte-source.ts'
import { readSchema, type SchemaNode } from './schema.ts'
import { asStruct, countIn, listIn, numberIn, readStruct, structIn, type ThriftStruct } from './thrift.ts'

/** A column of a group of rows. */
export interface Chunk {
  readonly codec: number
  readonly values: number
  readonly start: number
  readonly end: number
}

export interface RowGroup {
  readonly rows: number
  /** The chunk of each leaf that is asked for. @throws Error where there is none, or it does not lie in the file */
  chunk(leaf: number): Chunk
}

export interface Footer {
  readonly columns: readonly SchemaNode[]
  readonly groups: readonly RowGroup[]
}

const trailerBytes = 8

/** @throws Error for what is no footer */
export async function readFooter(source: ByteSource): Promise<Footer> {
  if (source.size < 4 + trailerBytes) throw new Error(`it has only ${source.size} bytes`)
  const end = source.size - trailerBytes
  const trailer = await source.read(end, trailerBytes)
  const magic = String.fromCharCode(...trailer.subarray(4))
  if (magic === 'PARE') throw new Error('its footer is encrypted')
  if (magic !== 'PAR1') throw new Error('it does not end with PAR1')
  const length = new DataView(trailer.buffer, trailer.byteOffset).getUint32(0, true)
  if (length > end) throw new Error(`its footer has ${length} bytes, the file ${source.size}`)
  const { struct } = readStruct(await source.read(end - length, length))
  const groups = listIn(struct, 4).map((value) => groupOf(asStruct(value), end - length))
  return { columns: readSchema(listIn(struct, 2)), groups }
}

function groupOf(group: ThriftStruct | undefined, end: number): RowGroup {
  if (!group) throw new Error('a group of rows is none')
  return {
    rows: countIn(group, 3, 'the number of rows of a group'),
    chunk(leaf) {
      const column = asStruct(listIn(group, 1)[leaf])
      const data = column && structIn(column, 3)
      if (!data) throw new Error(`column ${leaf} is missing in a group of rows`)
      if (column.fields[1] !== undefined) throw new Error('its columns are in other files')
      return chunkOf(data, end)
    },
  }
}

function chunkOf(data: ThriftStruct, fileEnd: number): Chunk {
  const dataStart = countIn(data, 9, 'the offset of a column')
  // Some writers leave 0 where there is no dictionary.
  const start = Math.min(numberIn(data, 11) || dataStart, dataStart)
  const end = start + countIn(data, 7, 'the size of a column')
  if (!(start >= 4 && end <= fileEnd)) throw new Error(`a column lies at ${start} to ${end} of ${fileEnd} bytes`)
  return { codec: countIn(data, 4, 'the codec of a column'), values: countIn(data, 5, 'the number of values'), start, end }
}
