/** Who may use the server: keys of a file or of the environment, compared in constant time. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { usageError } from '@parscale/core/internal'

/** Keys of a file, one a line, `#` before comments, and of PARSCALE_API_KEY. None: the server needs no key. */
export async function readKeys(file: string | undefined, env: NodeJS.ProcessEnv): Promise<string[]> {
  const keys = env.PARSCALE_API_KEY ? [env.PARSCALE_API_KEY.trim()] : []
  if (file !== undefined) {
    const lines = (await readKeyFile(file)).split(/\r?\n/).map((line) => line.trim())
    const found = lines.filter((line) => line !== '' && !line.startsWith('#'))
    if (found.length === 0) throw usageError(`${file}: there is no key in it; write one a line`, { file, flag: '--api-key-file' })
    keys.push(...found)
  }
  // The key itself never appears in a message.
  if (keys.some((key) => !/^[\x21-\x7e]+$/.test(key)))
    throw usageError('a key must be printable ASCII without spaces; see --api-key-file and PARSCALE_API_KEY', {
      flag: '--api-key-file',
    })
  return keys
}

async function readKeyFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw usageError(`--api-key-file: ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      ...{ file, cause },
      flag: '--api-key-file',
    })
  }
}

/** Digests have one length, and all are compared: neither a key's length nor how much of it was right can be timed. */
export function keyCheck(keys: readonly string[]): ((key: string) => boolean) | undefined {
  if (keys.length === 0) return undefined
  const digest = (key: string) => createHash('sha256').update(key).digest()
  const known = keys.map(digest)
  return (key) => {
    const given = digest(key)
    return known.map((one) => timingSafeEqual(one, given)).includes(true)
  }
}
