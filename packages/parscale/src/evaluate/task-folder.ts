/** Task files on disk: those that ship with the package, and a user's own by their paths. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, extname, isAbsolute, join } from 'node:path'
import { usageError } from '@parscale/core/internal'
import { indexTaskFiles, selectTasks, type TaskFiles, type TaskSet } from '@parscale/core/internal/evaluation/tasks'
import { taskFolder } from '../package-files.ts'
import { whyUnread } from '../terminal/why-unread.ts'

export const taskFiles: TaskFiles = {
  async read(path) {
    return await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
      throw usageError(`${path}: ${whyUnread(cause)}`, { file: path, cause })
    })
  },
  resolve: (from, path) => (isAbsolute(path) ? path : join(dirname(from), path)),
}

const isYaml = (name: string) => ['.yaml', '.yml'].includes(extname(name))

/** YAML files of a folder and those below; names that begin with `_` are parts of others. */
async function yamlFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => entry.isFile() && isYaml(entry.name) && !entry.name.startsWith('_'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

/**
 * Tasks by name, or by the path of a YAML file.
 *
 * @param names of --tasks @param includePath a folder of further task files, whose names go before those that ship
 */
export async function findTasks(names: readonly string[], includePath?: string): Promise<TaskSet> {
  const paths = [...(await yamlFiles(taskFolder)), ...(includePath === undefined ? [] : await userFiles(includePath))]
  const files: string[] = []
  for (const name of names) if (isYaml(name)) files.push(name)
  const index = await indexTaskFiles(taskFiles, [...paths, ...files])
  const byPath = new Map([...index].map(([name, { path }]) => [path, name]))
  const asked = names.map((name) => {
    if (!isYaml(name)) return name
    const found = byPath.get(name)
    if (found === undefined) throw usageError(`--tasks: ${name} names neither a task nor a group`, { flag: 'tasks', found: name })
    return found
  })
  return selectTasks(index, asked)
}

async function userFiles(folder: string): Promise<string[]> {
  const found = await stat(folder).catch(() => undefined)
  if (!found?.isDirectory())
    throw usageError(`--include-path ${folder}: there is no such folder`, { flag: 'include-path', found: folder })
  return await yamlFiles(folder)
}
