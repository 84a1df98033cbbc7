/** File systems without links: a preloaded library refuses them as NFS, FAT and network shares do. */
import { execFileSync, spawnSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { nodeModule } from './testing/processes.ts'

const canCompile = process.platform === 'linux' && spawnSync('cc', ['--version'], { stdio: 'ignore' }).status === 0

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-link-'))
  writeFileSync(
    join(folder, 'links.c'),
    `#include <errno.h>
     #include <stdlib.h>
     static int refused(const char* variable) { errno = atoi(getenv(variable)); return -1; }
     int symlink(const char* to, const char* path) { return refused("SYMLINK_ERROR"); }
     int link(const char* to, const char* path) { return refused("LINK_ERROR"); }`,
  )
  if (canCompile) execFileSync('cc', ['-shared', '-fPIC', '-o', join(folder, 'links.so'), join(folder, 'links.c')])
})
afterAll(() => rmSync(folder, { recursive: true }))

test.runIf(canCompile).each([
  ['EPERM', 'EPERM'],
  ['ENOTSUP', 'EMLINK'],
  ['EACCES', 'ENOSYS'],
] as const)('links that are refused with %s and %s become a copy, in place of what was there', (soft, hard) => {
  const [target, path] = [join(folder, `target-${soft}`), join(folder, `shown-${soft}`)]
  writeFileSync(target, 'new')
  writeFileSync(path, 'old')
  const script = `import { linkFile } from ${nodeModule('disk/link-file.ts')}
    await linkFile(${JSON.stringify(target)}, ${JSON.stringify(path)})`
  execFileSync(process.execPath, ['--import', 'tsx', '--conditions=source', '--input-type=module', '-e', script], {
    env: {
      ...process.env,
      LD_PRELOAD: join(folder, 'links.so'),
      SYMLINK_ERROR: String(constants.errno[soft === 'ENOTSUP' ? 'EOPNOTSUPP' : soft]),
      LINK_ERROR: String(constants.errno[hard]),
    },
  })
  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(lstatSync(path)).toMatchObject({ nlink: 1 })
  expect(lstatSync(path).isFile()).toBe(true)
  expect(readdirSync(folder).filter((name) => name.includes('partial'))).toEqual([])
})
