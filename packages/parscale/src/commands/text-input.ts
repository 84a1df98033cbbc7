/** Text from files and pipes, as UTF-8 or not at all. */
import { readFile } from 'node:fs/promises'
import process from 'node:process'
import { buffer } from 'node:stream/consumers'
import { usageError } from '@parscale/core/internal'
import { openFileSource } from '@parscale/core/internal/node/disk'
import { whyUnread } from '../terminal/why-unread.ts'

/** `-` is standard input. @throws usage error when the file cannot be read or is not UTF-8 */
export async function readTextFile(path: string, flag = 'file'): Promise<string> {
  if (path === '-') return await readStandardInput()
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`--${flag} ${path}: ${whyUnread(cause)}`, { flag, cause })
  })
  return decodeUtf8(bytes, `--${flag} ${path}`)
}

/**
 * Texts of a file of JSON lines, one object a line with its text under `field`. Not more than a line is in memory at a time.
 *
 * @throws usage error when the file cannot be read; checkpoint and usage errors that name file and line
 */
export async function* readTextLines(path: string, options: { field: string; signal: AbortSignal }): AsyncGenerator<string> {
  const { jsonlDocuments } = await import('@parscale/core/internal/training/data')
  const source = await openFileSource(path)
  try {
    for await (const document of jsonlDocuments(source, options)) if ('text' in document) yield document.text
  } finally {
    await source.close()
  }
}

/** All of standard input. @throws usage error when it is not UTF-8 */
export async function readStandardInput(): Promise<string> {
  return decodeUtf8(await buffer(process.stdin), 'standard input')
}

function decodeUtf8(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw usageError(`${name}: is not UTF-8 text`, { cause })
  }
}
