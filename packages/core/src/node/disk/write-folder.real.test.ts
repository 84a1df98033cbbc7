/** A file system that is really full: a tmpfs of 64 KiB in a mount namespace of its own, which needs no privileges. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../../../../', import.meta.url))
const mounting = [
  '-rm',
  'sh',
  '-c',
  'mount -t tmpfs -o size=64k tmpfs "$0" && exec node --import tsx --input-type=module -e "$1"',
]
// Some containers forbid namespaces; what such a disk answers is tested with /dev/full in write-folder.test.ts.
const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', tmpdir()]).status === 0

it.runIf(canMount)('a full disk leaves an empty folder and says so', async () => {
  const disk = await mkdtemp(join(tmpdir(), 'parscale-'))
  try {
    const golden = fileURLToPath(new URL('../../../../../fixtures/goldens/parscale-p4', import.meta.url))
    const code = `
      import { readdirSync } from 'node:fs'
      import { convertModel } from ${JSON.stringify(new URL('../models/convert.ts', import.meta.url).href)}
      const error = await convertModel(${JSON.stringify(golden)}, ${JSON.stringify(join(disk, 'out'))}).catch((error) => error)
      console.log(JSON.stringify({ kind: error.kind, message: error.message, left: readdirSync(${JSON.stringify(disk)}) }))`
    const result = JSON.parse(execFileSync('unshare', [...mounting, disk, code], { cwd: root, encoding: 'utf8' }))
    expect(result).toEqual({
      kind: 'resource',
      message: `${join(disk, 'out')}: the disk is full; nothing was left behind. Free some space or choose another folder`,
      left: [],
    })
  } finally {
    await rm(disk, { recursive: true })
  }
})
