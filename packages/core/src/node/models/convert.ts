/** Turns a model, a Hugging Face folder or a GGUF file, into a Hugging Face folder. */
import { basename } from 'node:path'
import type { StoredDType } from '../../checkpoint/tensor.ts'
import { convertedContents } from '../../contents/converted.ts'
import { type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { sha256 } from './backbone-digest.ts'
import { type OpenContents, openModelContents } from './open-contents.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface ConvertOptions extends WriteFolderOptions {
  /** Element type of all weights; 'keep' (default): each as stored, quantised blocks as F32. Narrowing rounds to even. */
  readonly dtype?: 'keep' | StoredDType
}

/**
 * Writes a model anew, with its stream sets in streams/. Where the backbone's element type changes, sets name the new one.
 *
 * @param source a model's folder or a .gguf file
 * @param directory must not exist, or be an empty folder
 * @throws as openModelFolder, ggufContents, convertedContents and writeModelFolder; then nothing is left behind
 */
export async function convertModel(source: string, directory: string, options: ConvertOptions = {}): Promise<void> {
  const { dtype = 'keep', ...writing } = options
  const model = await openModelContents(source)
  const sets = new Map<string, OpenContents>()
  try {
    for (const path of await streamSetFolders(source)) sets.set(`streams/${basename(path)}`, await openModelContents(path))
    const contents = await convertedContents(model, sets, dtype, { sha256, signal: writing.signal })
    await writeModelFolder(directory, contents, writing)
  } finally {
    await Promise.all([model, ...sets.values()].map((open) => open.close()))
  }
}
