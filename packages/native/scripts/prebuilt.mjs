// Where compiled modules lie. Those that were compiled beforehand as prebuildify writes and node-gyp-build looks for them:
//   prebuilds/<platform>-<arch>/<name>.node, on Linux with a tag for the C library: parscale.glibc.node, parscale.musl.node
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** LIBC overrides what is found, as it does for node-gyp-build. */
const libc = process.env.LIBC || (existsSync('/etc/alpine-release') ? 'musl' : 'glibc')

/** Below the folder `prebuilds`, for this platform and this or another CPU. */
export function prebuiltName(arch = process.arch) {
  const tag = process.platform === 'linux' ? `.${libc}` : ''
  return join(`${process.platform}-${arch}`, `parscale${tag}.node`)
}

/** For this machine, whether it is there or not. */
export const prebuiltPath = join(root, 'prebuilds', prebuiltName())

/** All places of a module for this machine. What was compiled here comes first. */
export const modulePaths = [join(root, 'build', 'Release', 'parscale.node'), prebuiltPath]
