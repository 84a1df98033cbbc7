/**
 * GGUF files are turned once into a model's folder, in a cache, and opened as that folder ever after, for engines that map weights
 * from files. Costs disk: quantised blocks become float32.
 */
import { realpath } from 'node:fs/promises'
import { ggufContents } from '../../contents/model-contents.ts'
import { openFileSource } from '../disk/file-source.ts'
import { type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { knownModelContent, modelContent } from './content.ts'
import { type CachedFolder, cachedModelFolder, hasCachedFolder, type ModelCacheOptions } from './model-cache.ts'

/** Raised when what we make of a file changes. */
const formatVersion = 3

/**
 * The folder that a GGUF file stands for, made now if it is not there, not whole or of other content.
 *
 * @throws as ggufContents and writeModelFolder
 */
export async function ggufFolder(path: string, options: ModelCacheOptions): Promise<string> {
  const source = await realpath(path)
  const content = await modelContent(source, options)
  return await cachedModelFolder(
    { ...described(source, content), make: (folder, writing) => unpack(path, folder, writing) },
    options,
  )
}

/** Whether ggufFolder would find it. A file that has not been hashed counts as new. */
export async function hasGgufFolder(path: string, options: Pick<ModelCacheOptions, 'cacheDirectory'>): Promise<boolean> {
  const source = await realpath(path)
  const content = await knownModelContent(source, options)
  return content !== undefined && (await hasCachedFolder(described(source, content), options))
}

const described = (source: string, content: string): Omit<CachedFolder, 'make'> => ({
  kind: 'gguf',
  label: 'float32',
  source,
  origin: { content, weights: 'float32', engine: 'onnx' },
  identity: [content],
  state: [formatVersion],
})

async function unpack(path: string, folder: string, options: WriteFolderOptions): Promise<void> {
  const source = await openFileSource(path)
  try {
    await writeModelFolder(folder, await ggufContents(source), options)
  } finally {
    await source.close()
  }
}
