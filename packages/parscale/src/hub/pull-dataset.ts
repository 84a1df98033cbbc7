/**
 * A split of a data set from the hub: its Parquet files, into the cache that all Hugging Face libraries share. Most data sets have them
 * in their repository; of the others the hub keeps a conversion under `refs/convert/parquet`.
 */
import { readdir } from 'node:fs/promises'
import { join, relative, sep } from 'node:path'
import { hubError, usageError } from '@parscale/core/internal'
import { cachedCommit, type ModelCache, modelCache } from './cache.ts'
import { fetchListing, type ListedFile } from './listing.ts'
import { checkRepoId, checkRevision, quote } from './names.ts'
import { proxiedFetch } from './proxy.ts'
import { type PullOptions, pullFiles } from './pull-model.ts'
import type { HubClient } from './request.ts'
import { defaultRetryPolicy } from './retry.ts'
import { withoutSecrets } from './secrets.ts'
import { type HubSettings, hubSettings } from './settings.ts'

export type { PullOptions } from './pull-model.ts'

export interface DatasetOptions extends PullOptions {
  /** Its configuration: `main`, `ARC-Easy`. Default: the only one. */
  readonly name?: string | undefined
  readonly split: string
}

export interface PulledSplit {
  readonly commit: string
  /** Parquet files, in order. */
  readonly files: readonly string[]
}

const converted = 'refs/convert/parquet'

/** @throws as pullModel; usage error for a split or configuration that there is not */
export async function pullDataset(repo: string, options: DatasetOptions): Promise<PulledSplit> {
  const settings = await hubSettings(options)
  const secrets = [...(settings.token === undefined ? [] : [settings.token]), ...settings.proxies.secrets]
  return await withoutSecrets(secrets, () => pull(checkRepoId(repo), settings, options))
}

async function pull(repo: string, settings: HubSettings, options: DatasetOptions): Promise<PulledSplit> {
  const cache = modelCache(settings.cacheDirectory, repo, 'datasets')
  const revisions = options.revision === undefined ? ['main', converted] : [checkRevision(options.revision)]
  if (settings.offline) return await fromCache(cache, repo, revisions, options)
  const retry = { ...defaultRetryPolicy, ...options.retry }
  const proxied = await proxiedFetch(settings.proxies)
  try {
    const seen: string[] = []
    for (const revision of revisions) {
      const client: HubClient = {
        settings,
        retry,
        repo,
        kind: 'datasets',
        revision,
        signal: options.signal,
        fetch: proxied.fetch,
      }
      const listing = await fetchListing(client)
      const chosen = splitFiles(listing.files, options)
      if (chosen.length === 0) {
        seen.push(...listing.files.map(({ path }) => path).filter((path) => path.endsWith('.parquet')))
        continue
      }
      const { commit, folder } = await pullFiles(client, cache, listing, chosen, options)
      return { commit, files: chosen.map(({ path }) => join(folder, path)) }
    }
    throw noSplit(repo, seen, options)
  } finally {
    await proxied.close()
  }
}

async function fromCache(
  cache: ModelCache,
  repo: string,
  revisions: readonly string[],
  options: DatasetOptions,
): Promise<PulledSplit> {
  for (const revision of revisions) {
    const commit = await cachedCommit(cache, revision)
    if (commit === undefined) continue
    const folder = cache.snapshot(commit)
    const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => [])
    const files = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => ({ path: relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'), metadata: undefined }))
    const chosen = splitFiles(files, options)
    if (chosen.length > 0) return { commit, files: chosen.map(({ path }) => join(folder, path)) }
  }
  throw hubError(
    `${repo}: offline, and the cache ${cache.folder} lacks the split ${quote(options.split)}; unset HF_HUB_OFFLINE and run it once`,
    { expected: options.split },
  )
}

/** `main/test-00000-of-00001.parquet`, `data/test-..`, `test-..`, and of conversions `main/test/0000.parquet`. */
export function splitFiles(
  files: readonly ListedFile[],
  { name, split }: Pick<DatasetOptions, 'name' | 'split'>,
): readonly ListedFile[] {
  const shards = [
    /^(?:(?<folder>.+)\/)?(?<split>[^/]+)\/\d+\.parquet$/,
    /^(?:(?<folder>.+)\/)?(?<split>[^/]+?)(?:-\d+-of-\d+(?:-[0-9a-f]+)?)?\.parquet$/,
  ]
  const partsOf = (path: string) =>
    (shards[0]!.exec(path) ?? shards[1]!.exec(path))?.groups as { folder?: string; split: string } | undefined
  const found = files.map((file) => ({ file, ...partsOf(file.path) })).filter(({ split: its }) => its === split)
  const folders = new Set(found.map(({ folder }) => folder))
  const chosen =
    name !== undefined && folders.has(name)
      ? name
      : name === undefined && folders.size > 1
        ? ['default', 'data', undefined].find((folder) => folders.has(folder))
        : name === undefined || name === 'default'
          ? [...folders][0]
          : null
  return found
    .filter(({ folder }) => folder === chosen)
    .map(({ file }) => file)
    .sort((a, b) => (a.path < b.path ? -1 : 1))
}

function noSplit(repo: string, seen: readonly string[], { name, split }: DatasetOptions) {
  const what = `${name === undefined ? '' : `configuration ${quote(name)}, `}split ${quote(split)}`
  const list = seen.slice(0, 8).map(quote).join(', ')
  return usageError(
    `${repo}: no Parquet files of ${what}; ${seen.length === 0 ? 'there are none at all' : `there are ${list}`}`,
    {
      expected: split,
      found: seen,
    },
  )
}
