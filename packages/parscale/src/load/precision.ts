/** In how many bits a model's weights run: as they are stored, unless the user asks for something else. */
import { usageError } from '@parscale/core/internal'
import { type ModelConfig, quantisationOf, type WeightSettings } from '@parscale/core/internal/checkpoint'
import { isGgufFile } from '@parscale/core/internal/node/models'

/** 32: floats, decoded where a GGUF file has integers. */
export const weightBits = [8, 4, 32] as const
export type WeightBits = (typeof weightBits)[number]

export interface PrecisionOptions {
  /**
   * Weights in so many bits: made of the model on first use, and kept in the cache. 32: as floats. Default: as they are stored: a
   * GGUF file's integers stay integers.
   */
  readonly bits?: WeightBits | undefined
  /** Weights that share a scale, with 8 or 4 bits: a power of two from 16 on. Default: 128 at 8 bits, 32 at 4. */
  readonly blockSize?: number | undefined
}

/** What a model's weights become: `asItIs` needs nothing made of it. */
export type Precision = WeightSettings | 'floats' | 'asItIs'

/** @param path a model's folder or a .gguf file @throws checkpoint error for a path that leads to neither */
export async function precisionOf(path: string, { bits, blockSize }: PrecisionOptions): Promise<Precision> {
  if (bits === 8 || bits === 4) return { bits, blockSize }
  if (await isGgufFile(path)) return bits === 32 ? 'floats' : 'stored'
  return 'asItIs'
}

/** @throws usage error where floats are asked for of a folder that has integers */
export function requireFloats(
  { path, config }: { readonly path: string; readonly config: ModelConfig },
  { bits }: PrecisionOptions,
): void {
  const quantised = quantisationOf(config.raw, path)
  if (bits === 32 && quantised)
    throw usageError(`${path}: is quantised to ${quantised.bits} bits already; leave --bits out`, { flag: '--bits', found: bits })
}
