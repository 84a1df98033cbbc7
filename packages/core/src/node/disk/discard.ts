/** Removing what is in nobody's way. */
import { rm } from 'node:fs/promises'

/**
 * Removes a file or folder that is of no more use, if the disk lets us. Where it does not, what went wrong before is what is to
 * be told, and who writes there next removes it.
 */
export const discard = (path: string): Promise<void> => rm(path, { recursive: true, force: true }).catch(() => {})
