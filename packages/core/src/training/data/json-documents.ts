/** Documents in JSON lines: one object a line. */
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { checkpointError } from '../../errors.ts'
import {
  type DocumentOptions,
  maxDocumentBytes,
  notUtf8,
  rejectDocument,
  rowDocument,
  type TrainingDocument,
  tooLong,
} from './documents.ts'
import { sourceLines } from './read-chunks.ts'

/**
 * Empty lines are no documents. The text is in `options.field`.
 *
 * @throws checkpoint error naming file and line for one that is not UTF-8 or not JSON; usage error for one that lacks the
 *   field or is too long. With `skipBad`, such lines are left out instead.
 */
export async function* jsonlDocuments(source: ByteSource, options: DocumentOptions = {}): AsyncGenerator<TrainingDocument> {
  for await (const { number, bytes } of sourceLines(source, maxDocumentBytes, options.signal)) {
    const where = `${source.name}, line ${number}`
    if (!bytes) {
      rejectDocument(options, 'tooLong', where, tooLong(where, 'cut it into several, or skip what cannot be read'))
      continue
    }
    const text = decodeLine(bytes, where, options)
    if (text === undefined || text.trim() === '') continue
    const row = parseLine(text, where, options)
    const document = row && rowDocument(row.value, where, options)
    if (document) yield document
  }
}

function decodeLine(bytes: Uint8Array, where: string, options: DocumentOptions): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    rejectDocument(options, 'notUtf8', where, notUtf8(where, cause))
    return undefined
  }
}

function parseLine(text: string, where: string, options: DocumentOptions): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    const message = `${where}: expected one JSON object: ${reason}; correct it, or skip what cannot be read`
    rejectDocument(options, 'badJson', where, checkpointError(message, { file: where, cause }))
    return undefined
  }
}
