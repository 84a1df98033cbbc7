/** Documents in a text file: the whole of it, or what a separator cuts it into. */
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { usageError } from '../../errors.ts'
import {
  type DocumentOptions,
  maxDocumentBytes,
  notUtf8,
  rejectDocument,
  type TextDocument,
  textDocument,
  tooLong,
} from './documents.ts'
import { sourceChunks } from './read-chunks.ts'

/**
 * A byte order mark at the beginning is dropped; everything else of a document stays as it is, whitespace too.
 *
 * @throws checkpoint error for a file that is not UTF-8; usage error for a document that is too long. With `skipBad`, the
 *   rest of such a file is left out instead.
 */
export async function* textDocuments(source: ByteSource, options: DocumentOptions = {}): AsyncGenerator<TextDocument> {
  const { separator } = options
  if (separator === '') throw usageError('separator: expected a text to cut at, got an empty one', { flag: 'separator' })
  const decode = textDecoder(source.name, options)
  // Of the document under way, in pieces: joined and searched once, not with each chunk.
  let rest: string[] = []
  let restLength = 0
  /** The end of it, in which a separator may have begun. */
  let tail = ''
  let documents = 0
  const next = (text: string) => {
    documents++
    return textDocument(text, separator === undefined ? source.name : `${source.name}, document ${documents}`, options)
  }

  for await (const chunk of sourceChunks(source, options.signal)) {
    const decoded = decode(chunk)
    if (decoded === undefined) return
    rest.push(decoded)
    restLength += decoded.length
    if (separator !== undefined) {
      let end = tail + decoded
      if (end.includes(separator)) {
        const parts = rest.join('').split(separator)
        end = parts.pop()!
        rest = [end]
        restLength = end.length
        for (const part of parts) {
          const document = next(part)
          if (document) yield document
        }
      }
      tail = end.slice(Math.max(0, end.length - separator.length + 1))
    }
    if (restLength > maxDocumentBytes) {
      const error = tooLong(source.name, 'name a separator that cuts it into documents, such as an empty line')
      rejectDocument(options, 'tooLong', source.name, error)
      return
    }
  }
  const end = decode()
  if (end === undefined) return
  // Nothing behind the last separator is no document, not an empty one.
  const text = rest.join('') + end
  const last = documents > 0 && text.trim() === '' ? undefined : next(text)
  if (last) yield last
}

/** Decodes chunk after chunk, and at last nothing. Gives undefined for what is not UTF-8 and to be skipped. */
function textDecoder(name: string, options: DocumentOptions): (chunk?: Uint8Array) => string | undefined {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  return (chunk) => {
    try {
      return decoder.decode(chunk, { stream: chunk !== undefined })
    } catch (cause) {
      rejectDocument(options, 'notUtf8', name, notUtf8(name, cause))
      return undefined
    }
  }
}
