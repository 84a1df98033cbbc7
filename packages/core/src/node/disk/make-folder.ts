/** Folders and those above them. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * Makes a folder where there is none, and those above it, like `mkdir -p`. Node's own `recursive` loops for ever where the
 * system answers ENOENT below a folder that exists, as it does below /proc.
 *
 * @throws the file system's errors; ENOTDIR where a file stands there
 */
export async function makeFolder(path: string): Promise<void> {
  const folder = resolve(path)
  try {
    await mkdir(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // What is there already may be said in other words: a root that cannot be written, say.
    if (await isFolder(folder)) return
    if (code === 'EEXIST') throw notAFolder(folder)
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error
    // The one above may have been made since: then all that is left is to try again.
    if (!(await isFolder(dirname(folder)))) await makeFolder(dirname(folder))
    await mkdir(folder).catch(async (cause) => {
      if (!(await isFolder(folder))) throw cause // else somebody made it meanwhile
    })
  }
}

const notAFolder = (path: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`ENOTDIR: not a directory, mkdir '${path}'`), { code: 'ENOTDIR', syscall: 'mkdir', path })

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
