/** Links from one file to another, or what comes next where there are none. */
import { constants } from 'node:fs'
import { copyFile, link, rename, symlink } from 'node:fs/promises'
import { dirname, relative, resolve } from 'node:path'
import { withPartial } from './partial.ts'

/**
 * Makes `path` show the file `target`, in place of what is there: a relative link, so that both can be moved together; else a
 * hard link; else a copy.
 *
 * @throws the file system's errors
 */
export function linkFile(target: string, path: string): Promise<void> {
  return withPartial(path, async (partial) => {
    // Windows refuses symbolic links to ordinary users, FAT has no links at all.
    await symlink(relative(dirname(resolve(path)), resolve(target)), partial)
      .catch(() => link(target, partial))
      .catch(() => copyFile(target, partial, constants.COPYFILE_FICLONE))
    await rename(partial, path)
  })
}
