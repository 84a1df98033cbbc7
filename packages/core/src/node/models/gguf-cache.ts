/**
 * GGUF files are turned once into a model's folder, in a cache, and opened as that folder ever after: so the engine maps
 * weights from disk instead of decoding them at each start. Costs disk: quantised blocks become float32.
 */
import { realpath, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { ggufContents } from '../../contents/model-contents.ts'
import { openFileSource } from '../disk/file-source.ts'
import { type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { cachedModelFolder, type ModelCacheOptions } from './model-cache.ts'

/** Raised when what we make of a file changes. */
const formatVersion = 2

/**
 * The folder that a GGUF file stands for, made now if it is not there, not whole or older than the file.
 *
 * @throws as ggufContents and writeModelFolder
 */
export async function ggufFolder(path: string, options: ModelCacheOptions): Promise<string> {
  const real = await realpath(path)
  const { size, mtimeNs } = await stat(real, { bigint: true })
  return await cachedModelFolder(
    {
      kind: 'gguf',
      label: basename(path, '.gguf'),
      source: real,
      identity: [real],
      state: [formatVersion, String(size), String(mtimeNs)],
      make: (folder, writing) => unpack(path, folder, writing),
    },
    options,
  )
}

async function unpack(path: string, folder: string, options: WriteFolderOptions): Promise<void> {
  const source = await openFileSource(path)
  try {
    await writeModelFolder(folder, await ggufContents(source), options)
  } finally {
    await source.close()
  }
}
