// Where compiled modules for this machine lie: in the package of its platform, or where install.mjs puts one.
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { packageOf, platforms } from './platforms.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { resolve } = createRequire(import.meta.url)

/** Only where both are installed does it matter which is tried first: one for another C library does not load. */
const libc = existsSync('/etc/alpine-release') ? 'musl' : 'glibc'

/** Names of the packages for this machine, the likelier first; empty where none is published. */
export const prebuiltPackages = Object.entries(platforms)
  .filter(([, { os, cpu }]) => os === process.platform && cpu === process.arch)
  .sort(([, a], [, b]) => Number(b.libc === libc) - Number(a.libc === libc))
  .map(([platform]) => packageOf(platform))

/** Modules of the packages that are installed. */
export const prebuiltPaths = () =>
  prebuiltPackages.flatMap((name) => {
    try {
      return [resolve(`${name}/parscale.node`)]
    } catch {
      return []
    }
  })

/** What compiles one, to be typed as it is. */
export const toCompile = `node ${join(root, 'scripts', 'install.mjs')}`

export const compiledPath = join(root, 'build', 'Release', 'parscale.node')

/** All that are there, in the order in which they are tried. */
export const modulePaths = () => [...prebuiltPaths(), ...(existsSync(compiledPath) ? [compiledPath] : [])]
