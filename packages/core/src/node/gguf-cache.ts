/**
 * GGUF files are turned once into a model's folder, in a cache, and opened as that folder ever after: so the engine maps
 * weights from disk instead of decoding them at each start. Costs disk: quantised blocks become float32.
 */
import { createHash } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { GgufModel } from '../checkpoint/gguf-model.ts'
import { readGgufModel } from '../checkpoint/gguf-model.ts'
import { tokenizerFilesFromGguf } from '../tokenizer/gguf-tokenizer.ts'
import { openFileSource } from './file-source.ts'
import { type FolderContents, jsonBytes, type WriteFolderOptions, writeModelFolder } from './write-folder.ts'

/** Part of the cache's keys: raised when what we make of a file changes. */
const formatVersion = 2

export interface GgufCacheOptions extends Pick<WriteFolderOptions, 'onProgress' | 'signal'> {
  readonly cacheDirectory: string
}

/**
 * The folder that a GGUF file stands for, made now if it is not there. Several processes may ask at once: each writes
 * its own and the first to finish wins.
 *
 * @throws as readGgufModel and writeModelFolder
 */
export async function ggufFolder(path: string, { cacheDirectory, onProgress, signal }: GgufCacheOptions): Promise<string> {
  const folder = join(cacheDirectory, 'gguf', await cacheKey(path))
  if (await exists(folder)) return folder
  const source = await openFileSource(path)
  try {
    await writeModelFolder(folder, ggufContents(await readGgufModel(source), path), { onProgress, signal })
  } catch (error) {
    // Folders appear whole, so that one which is there now is another process's, finished first.
    if (signal?.aborted || !(await exists(folder))) throw error
  } finally {
    await source.close()
  }
  return folder
}

/**
 * What a model's folder made of a GGUF file contains.
 *
 * @param file names the file in errors
 * @throws as tokenizerFilesFromGguf
 */
export function ggufContents(model: GgufModel, file: string): FolderContents {
  const files = new Map([['config.json', jsonBytes(model.configJson)]])
  const { 'chat_template.jinja': template, ...tokenizer } = tokenizerFilesFromGguf(model.metadata, file) ?? {}
  for (const [name, json] of Object.entries(tokenizer)) files.set(name, jsonBytes(json))
  if (template !== undefined) files.set('chat_template.jinja', new TextEncoder().encode(template))
  return { files, tensors: model.tensors }
}

/** Readable, and different for a file that moved or changed. */
async function cacheKey(path: string): Promise<string> {
  const real = await realpath(path)
  const { size, mtimeNs } = await stat(real, { bigint: true })
  const hash = createHash('sha256').update([formatVersion, real, size, mtimeNs].join('\0')).digest('hex')
  return `${basename(real, '.gguf')}-${hash.slice(0, 16)}`
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
