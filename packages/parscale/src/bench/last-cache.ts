/** How large the processor's last cache is: what is to be read from memory must be a multiple of it. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Where a system does not say: larger than most desktops have. */
export const assumedCacheBytes = 64 * 2 ** 20

const cpuFolder = '/sys/devices/system/cpu'

/** In bytes; several caches of the last level count together. Undefined where the system does not say. */
export async function lastCacheBytes(): Promise<number | undefined> {
  if (process.platform === 'linux') return linuxCacheBytes(cpuFolder)
  if (process.platform === 'darwin')
    return macCacheBytes(asked('sysctl', ['-n', 'hw.l3cachesize', 'hw.perflevel0.l2cachesize', 'hw.l2cachesize']))
  return undefined
}

/**
 * From files as Linux has them: `cpu0/cache/index3/{level,size,type,shared_cpu_list}`.
 *
 * @param folder of the processors
 */
export async function linuxCacheBytes(folder: string): Promise<number | undefined> {
  const sizes = new Map<string, number>()
  let last = 0
  for (const cpu of (await namesIn(folder)).filter((name) => /^cpu\d+$/.test(name))) {
    for (const index of (await namesIn(join(folder, cpu, 'cache'))).filter((name) => name.startsWith('index'))) {
      const text = (name: string) => textOf(join(folder, cpu, 'cache', index, name))
      const level = Number(text('level'))
      const size = /^(\d+)([KMG]?)$/.exec(text('size'))
      if (!size || text('type') === 'Instruction' || !(level >= last)) continue
      if (level > last) sizes.clear()
      last = level
      // The same cache stands under each processor that shares it.
      sizes.set(text('shared_cpu_list') || cpu, Number(size[1]) * 1024 ** ['', 'K', 'M', 'G'].indexOf(size[2]!))
    }
  }
  const bytes = [...sizes.values()].reduce((sum, one) => sum + one, 0)
  return bytes > 0 ? bytes : undefined
}

/** From what `sysctl -n` prints, one number a line: the largest. */
export function macCacheBytes(text: string): number | undefined {
  const bytes = Math.max(0, ...text.split('\n').map(Number).filter(Number.isSafeInteger))
  return bytes > 0 ? bytes : undefined
}

/** sysctl fails for a name that this Mac does not know, after it printed the others. */
function asked(command: string, words: readonly string[]): string {
  try {
    return execFileSync(command, words, { encoding: 'utf8', timeout: 5000, stdio: ['ignore', 'pipe', 'ignore'] })
  } catch (error) {
    return String((error as { stdout?: unknown }).stdout ?? '')
  }
}

const namesIn = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return ''
  }
}
