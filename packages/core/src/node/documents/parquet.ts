/** Documents in Parquet files, row by row: of the column that holds them, one page of each of its parts is in memory. */
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { checkpointError, isParscaleError } from '../../errors.ts'
import {
  type DocumentOptions,
  notUtf8,
  rejectDocument,
  rowDocument,
  type TrainingDocument,
  tooLong,
} from '../../training/data/documents.ts'
import { type Footer, readFooter } from './parquet/footer.ts'
import { readRows } from './parquet/rows.ts'
import type { SchemaNode } from './parquet/schema.ts'
import { BadValue } from './parquet/values.ts'

/**
 * The text is in the column `options.field`; a conversation is a list of { role, content }.
 *
 * @throws checkpoint error for a damaged file, usage error for a file without the column
 */
export async function* parquetDocuments(source: ByteSource, options: DocumentOptions = {}): AsyncGenerator<TrainingDocument> {
  const orFail = <T>(promise: Promise<T>) => promise.catch((cause) => fail(source.name, cause))
  const { columns, groups } = await orFail(readFooter(source))
  const names = columns.map(({ name }) => name)
  const field = options.field ?? (names.includes('messages') ? 'messages' : 'text')
  const column = columns.find(({ name }) => name === field)
  if (!column) {
    rowDocument(Object.fromEntries(names.map((name) => [name, null])), source.name, options)
    return
  }
  await orFail(checkOverlaps(groups, column))
  let row = 0
  for (const group of groups) {
    const rows = readRows(source, group, column)
    for (let next = await orFail(rows.next()); !next.done; next = await orFail(rows.next())) {
      for (const value of next.value) {
        const where = `${source.name}, row ${++row}`
        const isBad = value instanceof BadValue
        const document = isBad ? rejectRow(value, where, options) : rowDocument({ [field]: value }, where, { ...options, field })
        if (document) yield document
      }
      // Rows may be many and empty: this lets signals in.
      await new Promise(setImmediate)
      options.signal?.throwIfAborted()
    }
  }
}

/**
 * Whole rows, each an object of all columns: for data that are small enough to be held. Whole numbers beyond 2^53 are rounded.
 *
 * @throws checkpoint error for a damaged file
 */
export async function* parquetRows(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const orFail = <T>(promise: Promise<T>) => promise.catch((cause) => fail(source.name, cause))
  const { columns, groups } = await orFail(readFooter(source))
  for (const column of columns) await orFail(checkOverlaps(groups, column))
  let before = 0
  for (const group of groups) {
    const values: unknown[][] = []
    for (const column of columns) {
      const read: unknown[] = []
      const rows = readRows(source, group, column)
      for (let next = await orFail(rows.next()); !next.done; next = await orFail(rows.next())) read.push(...next.value)
      signal?.throwIfAborted()
      values.push(read)
    }
    for (let row = 0; row < group.rows; row++) {
      const entries = columns.map(({ name }, i) => [name, jsonValue(values[i]![row], `${source.name}, row ${before + row + 1}`)])
      yield Object.fromEntries(entries)
    }
    before += group.rows
  }
}

function jsonValue(value: unknown, where: string): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof BadValue) throw checkpointError(`${where}: a value cannot be read (${value.reason})`, { file: where })
  return value
}

/** Bytes that belong to several groups would be read as often as a footer names them. */
async function checkOverlaps(groups: Footer['groups'], { leaves }: SchemaNode): Promise<void> {
  const chunks = groups.flatMap((group) => leaves.map(({ leaf }) => group.chunk(leaf!.index)))
  chunks.sort((a, b) => a.start - b.start)
  chunks.forEach(({ start, end }, i) => {
    const next = chunks[i + 1]
    if (next && next.start < end) throw new Error(`columns lie at ${start} to ${end} and from ${next.start} on`)
  })
}

function rejectRow(row: BadValue, where: string, options: DocumentOptions): undefined {
  if (row.reason === 'tooLong')
    rejectDocument(options, 'tooLong', where, tooLong(where, 'cut it into several, or skip what cannot be read'))
  else if (row.reason === 'notUtf8') rejectDocument(options, 'notUtf8', where, notUtf8(where, row.cause))
  else {
    const reason = row.cause instanceof Error ? row.cause.message : String(row.cause)
    const message = `${where}: expected JSON: ${reason}; correct it, or skip what cannot be read`
    rejectDocument(options, 'badJson', where, checkpointError(message, { file: where, cause: row.cause }))
  }
}

function fail(name: string, cause: unknown): never {
  if (isParscaleError(cause)) throw cause
  const reason = cause instanceof Error ? cause.message : String(cause)
  throw checkpointError(`${name}: cannot be read as Parquet: ${reason}`, { file: name, cause })
}
