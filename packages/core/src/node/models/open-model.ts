/** Opens a model from wherever a path leads: a Hugging Face folder, or a GGUF file by way of its cached folder. */
import { ggufFolder } from './gguf-cache.ts'
import { isGgufFile } from './is-gguf.ts'
import type { ModelCacheOptions } from './model-cache.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'

/**
 * Opens a model at a path: a Hugging Face folder, or a GGUF file through its unpacked folder in the cache.
 *
 * @param options where GGUF files are unpacked to, and progress and abortion of that
 * @throws as openModelFolder and ggufFolder; checkpoint error for a path that leads to neither
 */
export async function openModelPath(path: string, options: ModelCacheOptions): Promise<ModelFolder> {
  return await openModelFolder((await isGgufFile(path)) ? await ggufFolder(path, options) : path)
}
