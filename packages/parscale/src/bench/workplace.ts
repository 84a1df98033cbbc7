/**
 * Where synthetic models lie: below the cache, as the folder for temporary files is in memory on some systems. A run's own
 * folder goes with it; what killed runs left is removed by the next one.
 */
import { join } from 'node:path'
import { diskError, temporaryFolder } from '@parscale/core/internal/node'

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

/** @param cache the product's cache folder @throws usage error where it cannot be written */
export async function openWorkplace(cache: string): Promise<Workplace> {
  const folder = join(cache, 'bench')
  const temporary = await temporaryFolder(join(folder, 'run')).catch((error) => {
    throw diskError(error, folder, { full: 'free some space', denied: 'set PARSCALE_CACHE to a folder that can' })
  })
  return { cache, folder, temporary: temporary.path, kept: join(folder, 'kept'), close: temporary.remove }
}
