/** Quantised models in the cache, for engines that map weights from files: made on first use. */
import { realpath } from 'node:fs/promises'
import { blockSizeOf, type WeightSettings } from '../../checkpoint/quantise-model.ts'
import { quantisedFormatVersion } from '../../checkpoint/quantised-tensor.ts'
import { modelContent } from './content.ts'
import { cachedModelFolder, type ModelCacheOptions } from './model-cache.ts'
import { writeQuantised } from './quantised-folder.ts'

/** Raised when other integers are made of the same numbers. */
export const roundingVersion = 2

/**
 * The folder of a model with its weights in so many bits, made now if it is not there, not whole or of other content.
 *
 * @param path a model's folder or a .gguf file
 * @param settings `stored`: the integers of a GGUF file
 * @throws as writeQuantised
 */
export async function quantisedFolder(path: string, settings: WeightSettings, options: ModelCacheOptions): Promise<string> {
  const source = await realpath(path)
  const content = await modelContent(source, options)
  const how = settings === 'stored' ? ['stored'] : [settings.bits, blockSizeOf(settings)]
  return await cachedModelFolder(
    {
      kind: 'quantised',
      label: settings === 'stored' ? 'stored' : `int${settings.bits}`,
      source,
      origin: { content, weights: weightsText(settings), engine: 'onnx' },
      identity: [content, ...how],
      state: [quantisedFormatVersion, roundingVersion],
      make: (folder, writing) => writeQuantised(path, folder, settings, writing),
    },
    options,
  )
}

const weightsText = (settings: WeightSettings): string => {
  return settings === 'stored' ? 'as stored' : `${settings.bits} bits`
}
