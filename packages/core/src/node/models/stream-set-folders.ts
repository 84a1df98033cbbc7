/** Stream sets that lie in the folder of their backbone: streams/p2, streams/p4, under whatever names. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Their folders, sorted; none where there is no folder streams/. @throws the file system's errors */
export async function streamSetFolders(folder: string): Promise<string[]> {
  const below = join(folder, 'streams')
  const entries = await readdir(below, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return []
    throw cause
  })
  return entries
    .filter((entry) => !entry.isFile())
    .map(({ name }) => join(below, name))
    .sort()
}
