/**
 * Where synthetic models lie: below the cache, as the folder for temporary files is in memory on some systems. A run's own
 * folder goes with it; what killed runs left is removed by the next one.
 */
import { join } from 'node:path'
import { diskError, isDiskError, temporaryFolder } from '@parscale/core/internal/node'

export interface Workplace {
  /** The product's cache folder. */
  readonly cache: string
  readonly folder: string
  /** Path of a folder that is removed at the end. @throws as diskError where the cache cannot be written */
  temporary(): string
  /** Stays: models that `--keep` made, by name. */
  readonly kept: string
  close(): Promise<void>
}

/** @param cache the product's cache folder; one that cannot be written will do while nobody asks for `temporary` */
export async function openWorkplace(cache: string): Promise<Workplace> {
  const folder = join(cache, 'bench')
  const kept = join(folder, 'kept')
  try {
    const { path, remove } = await temporaryFolder(join(folder, 'run'))
    return { cache, folder, temporary: () => path, kept, close: remove }
  } catch (error) {
    const fault = diskError(error, folder, { full: 'free some space', denied: 'set PARSCALE_CACHE to a folder that can' })
    if (!isDiskError(fault)) throw fault
    const temporary = () => {
      throw fault
    }
    return { cache, folder, temporary, kept, close: async () => {} }
  }
}
