/**
 * GGUF files are turned once into a model's folder, in a cache, and opened as that folder ever after: so the engine maps
 * weights from disk instead of decoding them at each start. Costs disk: quantised blocks become float32.
 */
import { realpath, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import type { GgufModel } from '../../checkpoint/gguf/model.ts'
import { readGgufModel } from '../../checkpoint/gguf/model.ts'
import { tokenizerFilesFromGguf } from '../../tokenizer/gguf/tokenizer.ts'
import { openFileSource } from '../disk/file-source.ts'
import { jsonBytes } from '../disk/whole-folder.ts'
import { type FolderContents, type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { cachedModelFolder, type ModelCacheOptions } from './model-cache.ts'

/** Raised when what we make of a file changes. */
const formatVersion = 2

/**
 * The folder that a GGUF file stands for, made now if it is not there, not whole or older than the file.
 *
 * @throws as readGgufModel and writeModelFolder
 */
export async function ggufFolder(path: string, options: ModelCacheOptions): Promise<string> {
  const real = await realpath(path)
  const { size, mtimeNs } = await stat(real, { bigint: true })
  return await cachedModelFolder(
    {
      kind: 'gguf',
      label: basename(path, '.gguf'),
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
    await writeModelFolder(folder, ggufContents(await readGgufModel(source), path), options)
  } finally {
    await source.close()
  }
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
