/** Quantised models in the cache, for engines that map weights from files: made on first use. */
import { realpath } from 'node:fs/promises'
import { blockSizeOf, type WeightSettings } from '../../checkpoint/quantise-model.ts'
import { quantisedFormatVersion } from '../../checkpoint/quantised-tensor.ts'
import { knownModelContent, modelContent } from './content.ts'
import { type CachedFolder, cachedModelFolder, hasCachedFolder, type ModelCacheOptions } from './model-cache.ts'
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
  return await cachedModelFolder(
    {
      ...described(source, content, settings),
      make: (folder, writing) => writeQuantised(path, folder, settings, writing),
    },
    options,
  )
}

/** Whether quantisedFolder would find it. What has not been hashed counts as new. */
export async function hasQuantisedFolder(
  path: string,
  settings: WeightSettings,
  options: Pick<ModelCacheOptions, 'cacheDirectory'>,
): Promise<boolean> {
  const source = await realpath(path)
  const content = await knownModelContent(source, options)
  return content !== undefined && (await hasCachedFolder(described(source, content, settings), options))
}

function described(source: string, content: string, settings: WeightSettings): Omit<CachedFolder, 'make'> {
  const how = settings === 'stored' ? ['stored'] : [settings.bits, blockSizeOf(settings)]
  return {
    kind: 'quantised',
    label: settings === 'stored' ? 'stored' : `int${settings.bits}`,
    source,
    origin: { content, weights: weightsText(settings), engine: 'onnx' },
    identity: [content, ...how],
    state: [quantisedFormatVersion, roundingVersion],
  }
}

const weightsText = (settings: WeightSettings): string => {
  return settings === 'stored' ? 'as stored' : `${settings.bits} bits`
}
