/** Opens a model on disk, in either format, as the contents of a Hugging Face folder. */
import { checkpointContents, ggufContents, type ModelContents } from '../../contents/model-contents.ts'
import { openFileSource } from '../disk/file-source.ts'
import { companionFiles } from './companion-files.ts'
import { isGgufFile } from './is-gguf.ts'
import { openModelFolder } from './model-folder.ts'

export interface OpenContents extends ModelContents {
  close(): Promise<void>
}

/**
 * Opens a model without its further stream sets.
 *
 * @param path a model's folder or a .gguf file
 * @throws as openModelFolder and ggufContents
 */
export async function openModelContents(path: string): Promise<OpenContents> {
  const open = (await isGgufFile(path)) ? await openFileSource(path) : await openModelFolder(path)
  try {
    const contents = 'read' in open ? await ggufContents(open) : checkpointContents(open, await companionFiles(path))
    return { ...contents, close: open.close }
  } catch (error) {
    await open.close()
    throw error
  }
}
