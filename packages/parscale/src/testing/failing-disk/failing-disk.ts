/** The preloaded library of failing-disk.c, as the environment of a process. */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What a disk answers. */
export type DiskFault = 'ENOSPC' | 'EDQUOT' | 'EIO' | 'EROFS' | 'short'

export interface FailingDisk {
  /** Environment in which the n-th call that writes below `folder` fails, and all after it unless `once`; n = 0 counts only. */
  env(folder: string, n: number, fault: DiskFault, once?: boolean): NodeJS.ProcessEnv
  /** How many calls wrote in that environment, which they were, as `rename PATH`, and which one failed first. */
  result(): { readonly calls: number; readonly list: readonly string[]; readonly first: string }
}

const source = fileURLToPath(new URL('failing-disk.c', import.meta.url))
const stateBytes = 4096

/** Where there is a C compiler, on Linux. */
export const canCompileFailingDisk = (): boolean =>
  process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0

/** Compiles the library into a folder. */
export function failingDisk(scratch: string): FailingDisk {
  const library = join(scratch, 'failing-disk.so')
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library, source, '-ldl'])
  const [state, list] = [join(scratch, 'failing-disk.state'), join(scratch, 'failing-disk.list')]
  return {
    env(folder, n, fault, once = false) {
      writeFileSync(state, new Uint8Array(stateBytes))
      writeFileSync(list, '')
      return {
        LD_PRELOAD: library,
        FAILING_DISK: folder,
        FAILING_DISK_STATE: state,
        FAILING_DISK_LIST: list,
        FAILING_DISK_AT: String(n),
        FAILING_DISK_ERROR: String(fault === 'short' ? 0 : constants.errno[fault]),
        ...(once && { FAILING_DISK_ONCE: '1' }),
        ...(fault === 'short' && { FAILING_DISK_SHORT: '1' }),
      }
    },
    result() {
      const bytes = readFileSync(state)
      const calls: string[] = []
      for (const line of readFileSync(list, 'utf8').split('\n').filter(Boolean)) {
        const [, number, call] = /^(\d+) (.*)$/.exec(line)!
        calls[Number(number) - 1] = call!
      }
      return { calls: bytes.readInt32LE(0), list: calls, first: bytes.toString('utf8', 4, bytes.indexOf(0, 4)) }
    },
  }
}
