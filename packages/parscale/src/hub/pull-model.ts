/** A model from the hub into the shared cache: list, choose, check the disk, download, link. */
import { join } from 'node:path'
import { hubError, isParscaleError, ParscaleError } from '@parscale/core/internal'
import { type LockOptions, linkFile, makeFolder, withFileLock } from '@parscale/core/internal/node'
import { cachedCommit, fileSize, type ModelCache, modelCache, writeRef } from './cache.ts'
import { findSnapshot } from './cached-model.ts'
import { cacheAdvice, checkFreeSpace, writing } from './disk-space.ts'
import { downloadBlob, partPath } from './download.ts'
import { fetchListing, fileMetadata, type HubFile, type ListedFile, type Listing } from './listing.ts'
import { chooseFiles } from './model-files.ts'
import { checkRepoId, checkRevision } from './names.ts'
import { proxiedFetch } from './proxy.ts'
import { suggestModels } from './published-models.ts'
import type { HubClient } from './request.ts'
import { defaultRetryPolicy, type RetryPolicy } from './retry.ts'
import { withoutSecrets } from './secrets.ts'
import { type HubOptions, type HubSettings, hubSettings } from './settings.ts'

export interface PullProgress {
  readonly file: string
  /** Position of the file in the pull, from 1. */
  readonly fileNumber: number
  readonly fileCount: number
  readonly fileDoneBytes: number
  readonly fileSizeBytes: number
  /** Over all files, with what was already there. */
  readonly doneBytes: number
  readonly sizeBytes: number
}

/** How a model is pulled from the hub: revision, files, cache, token, callbacks. */
export interface PullOptions extends HubOptions {
  /** Branch, tag or commit. Default: main. */
  readonly revision?: string
  /** Globs that choose the weight files, e.g. `*Q4_K_M.gguf`. Default: the safetensors, or the one GGUF file. */
  readonly include?: readonly string[]
  readonly onProgress?: (progress: PullProgress) => void
  /** Called when another process pulls the same model and is waited for. `who` says which, for people. */
  readonly onWait?: (ownerPid: number, who: string) => void
  /** Stops the pull; what has come so far is kept for the next one. */
  readonly signal?: AbortSignal
  readonly retry?: Partial<RetryPolicy>
}

/** A model that lies in the hub's cache: where, at which commit, with which files. */
export interface PulledModel {
  readonly repo: string
  readonly revision: string
  readonly commit: string
  /** The snapshot folder: what every loader takes. */
  readonly folder: string
  readonly files: readonly HubFile[]
  /** What this pull wrote; 0 when all was in the cache. */
  readonly downloadedBytes: number
}

/**
 * Pulls `repo` (`ORG/NAME`) and returns where it lies. Offline it only looks into the cache.
 * @throws usage error for names and patterns, hub error for the network, the hub's refusals and wrong contents,
 *   resource error for a full disk, the signal's reason on abort.
 */
export async function pullModel(repo: string, options: PullOptions = {}): Promise<PulledModel> {
  const settings = await hubSettings(options)
  const secrets = [...(settings.token === undefined ? [] : [settings.token]), ...settings.proxies.secrets]
  return await withoutSecrets(secrets, () => pull(repo, settings, options))
}

async function pull(repo: string, settings: HubSettings, options: PullOptions): Promise<PulledModel> {
  const revision = checkRevision(options.revision ?? 'main')
  const cache = modelCache(settings.cacheDirectory, checkRepoId(repo))
  if (settings.offline) return fromCacheOnly(cache, repo, revision, options.include)

  const retry = { ...defaultRetryPolicy, ...options.retry }
  const proxied = await proxiedFetch(settings.proxies)
  try {
    return await pullFrom({ settings, retry, repo, revision, signal: options.signal, fetch: proxied.fetch }, cache, options)
  } finally {
    await proxied.close()
  }
}

async function pullFrom(client: HubClient, cache: ModelCache, options: PullOptions): Promise<PulledModel> {
  const { repo } = client
  const listing = await fetchListing(client).catch((error) => Promise.reject(withSuggestions(error, repo)))
  return await pullFiles(client, cache, listing, chooseFiles(listing.files, repo, options.include), options)
}

/** Brings chosen files of a listing into the cache. */
export async function pullFiles(
  client: HubClient,
  cache: ModelCache,
  listing: Listing,
  chosen: readonly ListedFile[],
  options: Pick<PullOptions, 'onProgress' | 'onWait' | 'signal'>,
): Promise<PulledModel> {
  const { repo, revision } = client
  const files: HubFile[] = []
  for (const { path, metadata } of chosen) {
    files.push(metadata ? { path, ...metadata } : await fileMetadata(client, listing.commit, path))
  }

  const folder = cache.snapshot(listing.commit)
  // Nothing is written where all is there, so that a cache that is read-only serves.
  const states = await Promise.all(files.map((file) => planFile(cache, listing.commit, file)))
  if (states.every(({ state }) => state === 'linked') && (await cachedCommit(cache, revision)) === listing.commit)
    return { repo, revision, commit: listing.commit, folder, files, downloadedBytes: 0 }
  await writing(folder, makeFolder(folder))
  const onWait: LockOptions['onWait'] = ({ pid }, who) => options.onWait?.(pid, who)
  const locking = { signal: options.signal, onWait, advice: cacheAdvice }
  const downloadedBytes = await withFileLock(cache.lockPath, locking, async () => {
    const bytes = await fillSnapshot(client, cache, listing.commit, files, options.onProgress)
    // Last of all, so that a pull that was cut short leaves the previous snapshot in charge.
    await writeRef(cache, revision, listing.commit)
    return bytes
  })
  return { repo, revision, commit: listing.commit, folder, files, downloadedBytes }
}

/** Brings every file into the snapshot; returns how many bytes came over the network. */
async function fillSnapshot(
  client: HubClient,
  cache: ModelCache,
  commit: string,
  files: readonly HubFile[],
  onProgress: PullOptions['onProgress'],
): Promise<number> {
  const plan = await Promise.all(files.map((file) => planFile(cache, commit, file)))
  await checkFreeSpace(
    cache.folder,
    plan.reduce((sum, { missingBytes }) => sum + missingBytes, 0),
  )

  const sizeBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0)
  let finishedBytes = 0
  let downloadedBytes = 0
  for (const [index, { file, blobPath, path, state, missingBytes }] of plan.entries()) {
    const report = (fileDoneBytes: number) =>
      onProgress?.({
        file: file.path,
        fileNumber: index + 1,
        fileCount: files.length,
        fileDoneBytes,
        fileSizeBytes: file.sizeBytes,
        doneBytes: finishedBytes + fileDoneBytes,
        sizeBytes,
      })
    if (state === 'missing') {
      report(file.sizeBytes - missingBytes)
      await downloadBlob(client, { commit, file, blobPath, onBytes: report })
      downloadedBytes += missingBytes
    }
    if (state !== 'linked') await writing(path, linkFile(blobPath, path))
    report(file.sizeBytes)
    finishedBytes += file.sizeBytes
  }
  return downloadedBytes
}

interface PlannedFile {
  readonly file: HubFile
  readonly blobPath: string
  /** Its place in the snapshot. */
  readonly path: string
  /** `linked`: nothing to do. `blob`: the content is there from another revision. */
  readonly state: 'linked' | 'blob' | 'missing'
  readonly missingBytes: number
}

async function planFile(cache: ModelCache, commit: string, file: HubFile): Promise<PlannedFile> {
  const blobPath = cache.blob(file.hash.hex)
  const path = join(cache.snapshot(commit), file.path)
  const planned = { file, blobPath, path, missingBytes: 0 }
  // A final name is only ever given to checked content, so its length is enough to know it by.
  if ((await fileSize(path)) === file.sizeBytes) return { ...planned, state: 'linked' }
  if ((await fileSize(blobPath)) === file.sizeBytes) return { ...planned, state: 'blob' }
  const partBytes = (await fileSize(partPath(blobPath))) ?? 0
  return { ...planned, state: 'missing', missingBytes: file.sizeBytes - (partBytes <= file.sizeBytes ? partBytes : 0) }
}

async function fromCacheOnly(
  cache: ModelCache,
  repo: string,
  revision: string,
  include?: readonly string[],
): Promise<PulledModel> {
  const { folder, missing } = await findSnapshot(cache, revision, include)
  if (folder !== undefined && missing.length === 0) {
    const commit = folder.slice(-40)
    return { repo, revision, commit, folder, files: [], downloadedBytes: 0 }
  }
  throw withSuggestions(
    hubError(
      `${repo}: offline, and the cache ${cache.folder} lacks ${missing.join(', ')} of revision ${revision}; unset HF_HUB_OFFLINE and pull it once`,
      {
        expected: 'a complete snapshot',
        found: missing,
      },
    ),
    repo,
  )
}

/** Adds names that look alike to an error about a model that was not found. */
function withSuggestions(error: unknown, repo: string): unknown {
  const near = suggestModels(repo)
  const notFound = isParscaleError(error) && error.kind === 'hub' && [401, 404].includes(error.facts.found as number)
  const notCached = isParscaleError(error) && Array.isArray(error.facts.found)
  if (!(notFound || notCached) || near.length === 0 || near.includes(repo)) return error
  return new ParscaleError(error.kind, `${error.message}; did you mean ${near.join(', ')}?`, error.facts)
}
