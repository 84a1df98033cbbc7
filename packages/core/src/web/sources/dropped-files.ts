/** Files of a drop or of a chosen folder, with their paths. */
import { usageError } from '../../errors.ts'
import type { NamedFile } from '../types.ts'

/** What a drop brings, as far as it is used: a DataTransfer, or the files of an `<input webkitdirectory>`. */
export type Dropped = { readonly items: Iterable<DroppedItem> | ArrayLike<DroppedItem> } | Iterable<File> | ArrayLike<File>

interface DroppedItem {
  readonly kind: string
  getAsFile(): File | null
  webkitGetAsEntry?(): unknown
}

/** Structural, as the types of a worker lack it. */
interface Entry {
  readonly isFile: boolean
  readonly name: string
  file?(found: (file: File) => void, failed: (error: unknown) => void): void
  createReader?(): { readEntries(found: (entries: Entry[]) => void, failed: (error: unknown) => void): void }
}

/** A model's folder is not this deep, nor this full: a home folder that slipped under the pointer is. */
const deepest = 4
const most = 2000

/**
 * All files of what was dropped or chosen, with their paths below the folder that has config.json. Call it within the event: the
 * browser forgets the drop afterwards.
 *
 * @throws usage error for a drop without files, or one with far more than a model has
 */
export async function filesOfDrop(dropped: Dropped): Promise<NamedFile[]> {
  const found: NamedFile[] = []
  if ('items' in dropped) {
    // All of them before the first wait.
    const entries = Array.from(dropped.items)
      .filter(({ kind }) => kind === 'file')
      .map((item) => (item.webkitGetAsEntry?.() as Entry | null | undefined) ?? item.getAsFile())
    for (const entry of entries) {
      if (entry instanceof File) found.push({ path: entry.name, file: entry })
      else if (entry) await walk(entry, '', found)
    }
  } else {
    for (const file of Array.from(dropped as ArrayLike<File>)) {
      const { webkitRelativePath } = file as File & { readonly webkitRelativePath?: string }
      found.push({ path: webkitRelativePath || file.name, file })
    }
  }
  if (found.length === 0) throw usageError('nothing was dropped that has files; drop a model’s folder or a .gguf file')
  return belowConfig(found)
}

async function walk(entry: Entry, above: string, found: NamedFile[]): Promise<void> {
  const path = above + entry.name
  if (found.length >= most || path.split('/').length > deepest)
    throw usageError(`${path.split('/')[0]}: has far more files than a model; drop the folder that has config.json in it`)
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => entry.file!(resolve, reject))
    found.push({ path, file })
    return
  }
  const reader = entry.createReader!()
  for (;;) {
    // A hundred at a time, and none at the end.
    const entries = await new Promise<Entry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (entries.length === 0) return
    for (const one of entries) await walk(one, `${path}/`, found)
  }
}

/** Paths from the folder of the config.json that lies highest; as they are where there is none. */
export function belowConfig(files: readonly NamedFile[]): NamedFile[] {
  const configs = files.map(({ path }) => path).filter((path) => /(^|\/)config\.json$/.test(path))
  const [highest] = configs.sort((a, b) => a.split('/').length - b.split('/').length)
  if (highest === undefined) return [...files]
  const folder = highest.slice(0, -'config.json'.length)
  return files.flatMap(({ path, file }) => (path.startsWith(folder) ? [{ path: path.slice(folder.length), file }] : []))
}
