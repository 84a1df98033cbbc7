/**
 * Where synthetic models lie: below the cache, as the folder for temporary files is in memory on some systems. A run's own
 * folder goes with it; what killed runs left is removed by the next one.
 */
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core'
import { makeFolder } from '@parscale/core/node'

export interface Workplace {
  /** The product's cache folder. */
  readonly cache: string
  readonly folder: string
  /** Removed at the end. */
  readonly temporary: string
  /** Stays: models that `--keep` made, by name. */
  readonly kept: string
  close(): Promise<void>
}

const temporaryName = /^run-(\d+)$/

/** @param cache the product's cache folder @throws usage error where it cannot be written */
export async function openWorkplace(cache: string): Promise<Workplace> {
  const folder = join(cache, 'bench')
  const temporary = join(folder, `run-${process.pid}`)
  await makeFolder(folder).catch((cause: NodeJS.ErrnoException) => {
    throw usageError(`${folder}: cannot be written (${cause.code}); set PARSCALE_CACHE to a folder that can`, {
      file: folder,
      cause,
    })
  })
  for (const name of await readdir(folder)) {
    const [, pid] = temporaryName.exec(name) ?? []
    if (pid !== undefined && (Number(pid) === process.pid || !isAlive(Number(pid)))) await remove(join(folder, name))
  }
  return { cache, folder, temporary, kept: join(folder, 'kept'), close: () => remove(temporary) }
}

const remove = (path: string) => rm(path, { recursive: true, force: true })

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' // somebody else's
  }
}
