/** The user's home folder, and the platform's places for caches, state and the configuration file. */
import { homedir, userInfo } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { usageError } from '@parscale/core/internal'

type Environment = Readonly<Record<string, string | undefined>>

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
export function platformCache(env: Environment): string {
  if (process.platform === 'darwin') return join(homeFolder(), 'Library', 'Caches', 'parscale')
  if (process.platform === 'win32') return join(env.LOCALAPPDATA || join(homeFolder(), 'AppData', 'Local'), 'parscale', 'Cache')
  return join(env.XDG_CACHE_HOME || join(homeFolder(), '.cache'), 'parscale')
}

/** Where what is made of models and data lies, and what storage sent: PARSCALE_CACHE, else the platform's cache folder. @throws as homeFolder */
export const cacheFolder = (env: Environment = process.env): string => env.PARSCALE_CACHE || platformCache(env)

/** For what a person did, kept between sessions, such as the history of chat: none of it is needed to compute. @throws as homeFolder */
export function platformState(env: Environment): string {
  if (process.platform === 'darwin') return join(homeFolder(), 'Library', 'Application Support', 'parscale')
  if (process.platform === 'win32') return join(env.LOCALAPPDATA || join(homeFolder(), 'AppData', 'Local'), 'parscale', 'State')
  return join(env.XDG_STATE_HOME || join(homeFolder(), '.local', 'state'), 'parscale')
}

/** @throws as homeFolder */
export function platformConfig(env: Environment): string {
  const base = env.XDG_CONFIG_HOME || (process.platform === 'win32' && env.APPDATA) || join(homeFolder(), '.config')
  return join(base, 'parscale')
}
