/** The user's home folder, and the platform's place for caches. */
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'

/**
 * HOME, or what the system says of its user.
 *
 * @throws usage error where there is none: a container's user may have a number and nothing else
 */
export function homeFolder(): string {
  for (const find of [homedir, () => userInfo().homedir]) {
    try {
      const found = find()
      if (found) return found // an empty HOME names none
    } catch {}
  }
  throw usageError('there is no home folder to keep files in: set HOME, or both PARSCALE_CACHE and HF_HOME', { expected: 'HOME' })
}

/** As XDG's base directories, Apple and Microsoft have it. @throws as homeFolder */
export function platformCache(env: NodeJS.ProcessEnv): string {
  if (process.platform === 'darwin') return join(homeFolder(), 'Library', 'Caches', 'parscale')
  if (process.platform === 'win32') return join(env.LOCALAPPDATA || join(homeFolder(), 'AppData', 'Local'), 'parscale', 'Cache')
  return join(env.XDG_CACHE_HOME || join(homeFolder(), '.cache'), 'parscale')
}
