/** Quantised models in the cache: made on first use with `--bits`, then mapped. The source is not read again. */
import { readdir, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { blockSizeOf, type QuantiseSettings } from '../../checkpoint/quantise-model.ts'
import { quantisedFormatVersion } from '../../checkpoint/quantised-tensor.ts'
import { cachedModelFolder, fileState, type ModelCacheOptions } from './model-cache.ts'
import { isGgufFile } from './open-model.ts'
import { quantiseModel } from './quantised-folder.ts'
import { streamSetFolders } from './stream-set-folders.ts'

/** Raised when other integers are made of the same numbers. */
const roundingVersion = 2

/**
 * The folder of a model with its weights in so many bits, made now if it is not there, not whole or older than its source.
 *
 * @param path a model's folder or a .gguf file
 * @throws as quantiseModel
 */
export async function quantisedFolder(path: string, settings: QuantiseSettings, options: ModelCacheOptions): Promise<string> {
  const { bits } = settings
  const blockSize = blockSizeOf(settings)
  const real = await realpath(path)
  return await cachedModelFolder(
    {
      kind: 'quantised',
      label: `${basename(path).replace(/\.gguf$/i, '')}-int${bits}`,
      source: real,
      identity: [real, bits, blockSize],
      state: [quantisedFormatVersion, roundingVersion, await sourceState(path)],
      make: (folder, writing) => quantiseModel(path, folder, { bits, blockSize, ...writing }),
    },
    options,
  )
}

/** Name, size and time of change of every file that the model consists of. */
async function sourceState(path: string): Promise<readonly (readonly string[])[]> {
  if (await isGgufFile(path)) return [await fileState(path)]
  const files: string[] = []
  for (const folder of [path, ...(await streamSetFolders(path))]) {
    const entries = await readdir(folder)
    files.push(...entries.sort().map((name) => join(folder, name)))
  }
  const states = await Promise.all(files.map(fileState))
  return states.filter((state) => state.length > 0)
}
