/** The model that a run starts from. */
import { type ModelFolder, openModelPath } from '@parscale/core/internal/node/models'
import { fetchingOf } from '../storage/fetching.ts'
import type { Io } from '../terminal/io.ts'
import { cacheFolder, resolveModel } from './find-model.ts'

/** Opens a model by name; a GGUF file is unpacked with progress. @throws as resolveModel and openModelPath */
export async function openBase(io: Io, name: string): Promise<ModelFolder> {
  const path = await resolveModel(name, io.env, fetchingOf(io))
  const progress = io.progress('unpacking GGUF', 'B')
  return await openModelPath(path, {
    cacheDirectory: cacheFolder(io.env),
    signal: io.signal,
    onProgress: ({ doneBytes, totalBytes }) => progress.update(doneBytes, totalBytes),
  }).finally(() => progress.end())
}
