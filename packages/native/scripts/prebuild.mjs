// Modules for the package that is published: for this machine, and for the other CPUs whose cross compilers are here.
//   node scripts/prebuild.mjs [--into FOLDER]      FOLDER/<platform>-<arch>/parscale[.glibc|.musl].node, default: prebuilds
// They run with the C library of the machine that makes them, and with later ones: publish from an old one.
import { copyFileSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { architectures, build } from './build.mjs'
import { prebuiltName } from './prebuilt.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { into } = parseArgs({ options: { into: { type: 'string', default: join(root, 'prebuilds') } } }).values

for (const arch of architectures) {
  try {
    const path = join(into, prebuiltName(arch))
    const module = await build({ arch, standalone: true })
    mkdirSync(dirname(path), { recursive: true })
    copyFileSync(module, path)
    process.stdout.write(`${path}\n`)
  } catch (error) {
    if (error.code !== 'ENOENT' || arch === process.arch) throw error
    process.stdout.write(`left out: ${arch}, there is no ${error.path}\n`)
  }
}
