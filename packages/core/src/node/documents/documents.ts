/** Documents from files: text, JSON lines and Parquet, by the ending of the name. */
import { stat } from 'node:fs/promises'
import { extname } from 'node:path'
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { usageError } from '../../errors.ts'
import type { DocumentOptions, TrainingDocument } from '../../training/data/documents.ts'
import { jsonlDocuments } from '../../training/data/json-documents.ts'
import { textDocuments } from '../../training/data/text-documents.ts'
import { openFileSource } from '../disk/file-source.ts'
import { matchingFiles } from './glob.ts'

/** Files of other endings are text, where they are asked for by name or pattern. */
const readers = {
  '.txt': textDocuments,
  '.jsonl': jsonlDocuments,
  '.ndjson': jsonlDocuments,
  async *'.parquet'(source: ByteSource, options?: DocumentOptions) {
    // With its codecs it is large, and most data are text.
    yield* (await import('./parquet.ts')).parquetDocuments(source, options)
  },
} as const

const readerOf = (path: string) => readers[extname(path).toLowerCase() as keyof typeof readers]

/**
 * Files that names stand for, each once: files, folders (in which .txt, .jsonl, .ndjson and .parquet count) and patterns.
 *
 * @throws usage error for a name that leads to nothing, or to empty files only
 */
export async function documentFiles(names: readonly string[]): Promise<string[]> {
  const files = new Set<string>()
  for (const name of names) {
    for (const file of await matchingFiles(name, (path) => readerOf(path) !== undefined)) files.add(file)
  }
  const sizes = await Promise.all([...files].map(async (file) => (await stat(file)).size))
  if (sizes.some((size) => size > 0)) return [...files]
  throw usageError(`data: ${[...files].join(', ') || 'no file is named, or all'} are empty; name files that hold text`)
}

/** All documents of the files, in order. @throws as the readers: the first document that cannot be read, unless skipped */
export async function* readDocuments(files: readonly string[], options: DocumentOptions = {}): AsyncGenerator<TrainingDocument> {
  for (const file of files) {
    const source = await openFileSource(file)
    try {
      yield* (readerOf(file) ?? textDocuments)(source, options)
    } finally {
      await source.close()
    }
  }
}
