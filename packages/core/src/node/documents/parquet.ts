/** Documents in Parquet files, by `hyparquet`, group of rows by group of rows. */
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { checkpointError, isParscaleError } from '../../errors.ts'
import { type DocumentOptions, rowDocument, type TrainingDocument } from '../../training/data/documents.ts'
import { boundedCompressors, checkCounts, checkFooter, checkPages } from './parquet-sizes.ts'

/**
 * The text is in the column `options.field`; a conversation is a list of { role, content }. One group of rows is in memory
 * at a time, of that column only.
 *
 * @throws checkpoint error for a damaged file, usage error for a file without the column
 */
export async function* parquetDocuments(source: ByteSource, options: DocumentOptions = {}): AsyncGenerator<TrainingDocument> {
  const file: AsyncBuffer = {
    byteLength: source.size,
    slice: (start, end = source.size) =>
      withoutOrphans(source.read(start, end - start).then((read) => new Uint8Array(read).buffer as ArrayBuffer)),
  }
  const metadata = await readMetadata(file, source).catch((cause) => fail(source.name, cause))
  const column = options.field ?? (columnNames(metadata).includes('messages') ? 'messages' : 'text')
  if (!columnNames(metadata).includes(column)) {
    rowDocument(Object.fromEntries(columnNames(metadata).map((name) => [name, null])), source.name, options)
    return
  }
  let row = 0
  for (const group of metadata.row_groups) {
    const rowEnd = row + Number(group.num_rows)
    await checkPages(group, column, source).catch((cause) => fail(source.name, cause))
    const reading = { file, metadata, columns: [column], rowStart: row, rowEnd, compressors: boundedCompressors }
    const rows = await parquetReadObjects(reading).catch((cause) => fail(source.name, cause))
    for (const [i, values] of rows.entries()) {
      const document = rowDocument(values, `${source.name}, row ${row + i + 1}`, { ...options, field: column })
      if (document) yield document
    }
    row = rowEnd
  }
}

/**
 * The library asks for ranges ahead, makes a promise of each column within a conversation of them, and may fail at one before it
 * awaits the others: their failures are then nobody's, and would end the process. So they count as looked at, from the start.
 */
function withoutOrphans<T>(bytes: Promise<T>): Promise<T> {
  const then: typeof bytes.then = (onBytes, onError) => {
    return withoutOrphans(Promise.prototype.then.call(bytes, onBytes, onError)) as never
  }
  bytes.catch(() => {})
  return Object.assign(bytes, { then })
}

async function readMetadata(file: AsyncBuffer, source: ByteSource): Promise<FileMetaData> {
  await checkFooter(source)
  // Columns of maps, which nobody reads here, would be looked for in loops as long as the file says.
  const metadata = await parquetMetadataAsync(file, { geoparquet: false })
  checkCounts(metadata, source)
  return metadata
}

/** Names of the columns themselves, not of what is inside them. */
function columnNames({ schema }: FileMetaData): string[] {
  const names: string[] = []
  let at = 1
  const skip = (): void => {
    const children = schema[at++]?.num_children ?? 0
    for (let i = 0; i < children && at < schema.length; i++) skip()
  }
  while (at < schema.length) {
    names.push(schema[at]!.name)
    skip()
  }
  return names
}

function fail(name: string, cause: unknown): never {
  if (isParscaleError(cause)) throw cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  throw checkpointError(`${name}: cannot be read as Parquet: ${reason}`, { file: name, cause })
}
