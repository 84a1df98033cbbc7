/** The Python that judges and runs programs, and the folders of it that the sandbox shows, read-only. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'
import process from 'node:process'
import { promisify } from 'node:util'
import { runtimeError, usageError } from '@parscale/core/internal'

export interface Python {
  /** The real file, as the sandbox sees it too. */
  readonly path: string
  readonly version: string
  /** Arguments of bubblewrap that show it. */
  readonly binds: readonly string[]
}

/** Where systems keep what programs need. Debian's `/lib` is a link into /usr, other systems' is a folder. */
const systemFolders = ['/lib', '/lib64', '/lib32', '/bin', '/sbin']

/**
 * @param asked a path or a name; the system's own where it is absent, since it can be read by every user
 * @throws usage error when it cannot be run
 */
export async function findPython(asked?: string): Promise<Python> {
  const found = asked === undefined ? (onPath('/usr/bin/python3') ?? onPath('python3')) : onPath(asked)
  if (!found) {
    const message = asked === undefined ? 'there is no python3; install it (Debian: apt-get install python3)' : 'cannot be run'
    throw asked === undefined ? runtimeError(message) : usageError(`--python ${asked}: ${message}`, { flag: 'python' })
  }
  const tell = 'import sys; print("%d.%d.%d" % sys.version_info[:3], sys.executable, sys.prefix, sys.base_prefix, sep="\\n")'
  const { stdout } = await promisify(execFile)(found, ['-c', tell], { env: {}, cwd: '/' }).catch((cause) => {
    throw usageError(`--python ${found}: is no Python that runs`, { flag: 'python', cause })
  })
  const [version = '', path = '', ...prefixes] = stdout.trim().split('\n')
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major < 3 || minor < 8) throw usageError(`--python ${found}: is ${version}; 3.8 or later is needed`, { flag: 'python' })
  const binds = ['--ro-bind', '/usr', '/usr', '--ro-bind-try', '/etc/ld.so.cache', '/etc/ld.so.cache']
  for (const folder of systemFolders) {
    const real = await realpath(folder).catch(() => undefined)
    if (real === folder) binds.push('--ro-bind', folder, folder)
    else if (real) binds.push('--symlink', real, folder)
  }
  // A virtual environment, or one built at home.
  for (const prefix of new Set(prefixes)) if (!`${prefix}/`.startsWith('/usr/')) binds.push('--ro-bind', prefix, prefix)
  return { path, version, binds }
}

function onPath(name: string): string | undefined {
  const places = isAbsolute(name) ? [''] : name.includes('/') ? [process.cwd()] : (process.env.PATH ?? '').split(delimiter)
  return places.map((place) => join(place, name)).find((path) => existsSync(path))
}
