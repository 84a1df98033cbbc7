/** What the hub's cache holds, which other Hugging Face libraries share: named and sized, never removed by us. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheDirectory, type HubOptions } from './settings.ts'

export interface Download {
  /** ORG/NAME */
  readonly name: string
  readonly folder: string
  readonly sizeBytes: number
}

/** Models of the hub's cache, whole or not, by name. Empty where there is no such cache. */
export async function hubDownloads(options: Pick<HubOptions, 'cacheDirectory' | 'env'>): Promise<Download[]> {
  const parent = cacheDirectory(options)
  const names = (await readdir(parent).catch((): string[] => [])).filter((name) => /^models--[^-].*--/.test(name)).sort()
  return await Promise.all(
    names.map(async (name) => {
      const folder = join(parent, name)
      return { name: name.slice('models--'.length).replace('--', '/'), folder, sizeBytes: await fileBytes(folder) }
    }),
  )
}

/** Snapshots are links into blobs: of a link, what it leads to is counted where it lies. */
async function fileBytes(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
  return sum
}
