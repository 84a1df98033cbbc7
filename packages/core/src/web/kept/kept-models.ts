/** Models in the origin private file system: listed and deleted, from a page or a worker. */
import type { KeptModel } from '../types.ts'
import { contentDigest, readManifest, storageRoot } from './storage.ts'

/** What is kept, the newest first, with the bytes that the browser counts and allows for this origin. */
export async function keptModels(): Promise<{
  readonly models: readonly KeptModel[]
  readonly usedBytes: number
  readonly quotaBytes: number
}> {
  const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.()) ?? {}
  const models: KeptModel[] = []
  const root = await storageRoot()
  if (root)
    for await (const [key, handle] of root.entries())
      if (handle.kind === 'directory') models.push(await describe(key, handle as FileSystemDirectoryHandle))
  return { models: models.sort((a, b) => b.keptAt - a.keptAt), usedBytes: usage, quotaBytes: quota }
}

async function describe(key: string, folder: FileSystemDirectoryHandle): Promise<KeptModel> {
  const manifest = await readManifest(folder)
  let bytes = 0
  for await (const handle of folder.values())
    if (handle.kind === 'file') bytes += (await (handle as FileSystemFileHandle).getFile()).size
  return {
    key,
    name: manifest?.name ?? 'a download that was cut off',
    bytes,
    complete: manifest?.complete ?? false,
    keptAt: manifest?.keptAt ?? 0,
    ...(manifest?.complete && { sha256: contentDigest(manifest.files) }),
  }
}

/** Frees a kept model. Where there is none of that key nothing happens. */
export async function deleteKeptModel(key: string): Promise<void> {
  const root = await storageRoot()
  await root?.removeEntry(key, { recursive: true }).catch((error) => {
    if ((error as DOMException).name !== 'NotFoundError') throw error
  })
}
