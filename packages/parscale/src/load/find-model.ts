/** Finds the path of a model that a user names: a folder, a GGUF file, a model of the hub, or nothing for the shipped one. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'
import { cacheFolder } from '../home-folder.ts'
import type { Environment } from '../hub/settings.ts'
import { shippedModel } from '../package-files.ts'
import type { Fetching } from '../storage/address.ts'
import { isStorageName } from '../storage/address.ts'

export { cacheFolder, shippedModel }

/**
 * Finds a model: a path as it is, ORG/NAME in the hub's cache, s3://BUCKET/KEY fetched into the cache.
 *
 * @throws checkpoint error that says what to do when it is none; as fetchModel
 */
export async function resolveModel(
  model: string | undefined,
  env: Environment = process.env,
  fetching: Omit<Fetching, 'env'> = {},
): Promise<string> {
  if (model === undefined) return shippedModel
  if (isStorageName(model)) return await fetchedModel(model, env, fetching)
  if (await exists(model)) return model
  const { looksLikePath, missingModel } = await import('./missing-model.ts')
  if (looksLikePath(model) || !/^[\w.-]+\/[\w.-]+$/.test(model)) throw await missingModel(model)
  const { resolveCachedModel } = await import('../hub/cached-model.ts')
  const cached = await resolveCachedModel(model, { env })
  if (cached) return await weightsIn(cached)
  throw await missingModel(model)
}

/** One command asks for its model several times, and is to have the same one each time. */
const sameForMs = 10_000
const fetched = new Map<string, { readonly path: string; readonly at: number }>()

async function fetchedModel(name: string, env: Environment, fetching: Omit<Fetching, 'env'>): Promise<string> {
  const key = `${cacheFolder(env)} ${name}`
  const known = fetched.get(key)
  const { fetchModel } = await import('../storage/fetch.ts')
  const isFresh = known && performance.now() - known.at < sameForMs && (await exists(known.path))
  const path = isFresh ? known.path : await fetchModel(name, { env, ...fetching })
  fetched.set(key, { path, at: performance.now() })
  return path
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
