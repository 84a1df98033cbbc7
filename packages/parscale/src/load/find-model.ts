/** Finds the path of a model that a user names: a folder, a GGUF file, a model of the hub, or nothing for the shipped one. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'
import { platformCache } from '../home-folder.ts'
import type { Environment } from '../hub/settings.ts'
import { shippedModel } from '../package-files.ts'

export { shippedModel }

/** Where unpacked GGUF files and quantised models lie: PARSCALE_CACHE, else the platform's cache folder. */
export const cacheFolder = (env: Environment = process.env): string => env.PARSCALE_CACHE || platformCache(env)

/**
 * Finds a model: a path as it is, ORG/NAME in the hub's cache.
 *
 * @throws checkpoint error that says what to do when it is neither
 */
export async function resolveModel(model: string | undefined, env: Environment = process.env): Promise<string> {
  if (model === undefined) return shippedModel
  if (await exists(model)) return model
  const { looksLikePath, missingModel } = await import('./missing-model.ts')
  if (looksLikePath(model) || !/^[\w.-]+\/[\w.-]+$/.test(model)) throw await missingModel(model)
  const { resolveCachedModel } = await import('../hub/cached-model.ts')
  const cached = await resolveCachedModel(model, { env })
  if (cached) return await weightsIn(cached)
  throw await missingModel(model)
}

/** A snapshot may be a model's folder or hold a single GGUF file. */
async function weightsIn(folder: string): Promise<string> {
  if (await exists(join(folder, 'config.json'))) return folder
  const files = (await readdir(folder)).filter((name) => /\.gguf$/i.test(name)).sort()
  if (files.length > 1)
    throw usageError(`${folder}: holds ${files.length} GGUF files; name the one you mean: ${files.join(', ')}`, { found: files })
  return join(folder, ...files)
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
