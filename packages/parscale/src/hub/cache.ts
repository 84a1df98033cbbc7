/**
 * The cache folder that all Hugging Face libraries share, so that what one has pulled the others find:
 *
 *     models--ORG--NAME/
 *       blobs/<hash>                     contents, by SHA-256 or git blob id
 *       refs/<revision>                  the commit that a branch or tag pointed to
 *       snapshots/<commit>/<file>        links into blobs: `../../blobs/<hash>`
 *
 * Source: huggingface_hub, docs/guides/manage-cache.
 */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWholeFile } from '@parscale/core/internal/node'
import { cacheAdvice } from './disk-space.ts'
import { isCommit } from './names.ts'

export interface ModelCache {
  readonly folder: string
  readonly lockPath: string
  blob(hash: string): string
  snapshot(commit: string): string
  ref(revision: string): string
}

/** What a repository holds. */
export type RepositoryKind = 'models' | 'datasets'

/** The places of one model or data set. `repo` and what is passed to the functions must have been checked (names.ts). */
export function modelCache(cacheDirectory: string, repo: string, kind: RepositoryKind = 'models'): ModelCache {
  const name = `${kind}--${repo.replaceAll('/', '--')}`
  const folder = join(cacheDirectory, name)
  return {
    folder,
    // A name of our own: Python locks `<hash>.lock` with flock, which Node does not have.
    lockPath: join(cacheDirectory, '.locks', name, 'parscale.lock'),
    blob: (hash) => join(folder, 'blobs', hash),
    snapshot: (commit) => join(folder, 'snapshots', commit),
    ref: (revision) => join(folder, 'refs', revision),
  }
}

/** The commit that `revision` stands for in the cache; undefined when it was never pulled. */
export async function cachedCommit(cache: ModelCache, revision: string): Promise<string | undefined> {
  if (isCommit(revision)) return revision
  const commit = await readFile(cache.ref(revision), 'utf8').catch(() => '')
  return isCommit(commit.trim()) ? commit.trim() : undefined
}

/** Notes that `revision` is `commit`. A reader sees the old commit or the new one, never half of one. */
export async function writeRef(cache: ModelCache, revision: string, commit: string): Promise<void> {
  if (isCommit(revision)) return
  await writeWholeFile(cache.ref(revision), commit, cacheAdvice)
}

/** Length of the file that `path` leads to through links; undefined where it leads nowhere. */
export async function fileSize(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? found.size : undefined
}
