// Packages of prebuilt modules, each in FOLDER/<platform> (default: prebuilds), ready for `npm pack`.
//   npm run prebuilds -- --target linux-x64-gnu,linux-arm64-gnu    these; `all`: every platform of platforms.mjs
//   npm run prebuilds -- --with system                             by this machine's g++ and Debian's cross compilers, for its C library and later ones
// The default compiler is zig, which has headers and C libraries of all platforms: `zig` on PATH, or ZIG
// (ZIG="$(node scripts/python-env.mjs zig) -m ziglang" for PyPI's). What is published is made with it.
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from './build.mjs'
import { packageOf, platforms } from './platforms.mjs'
import { prebuiltPackages } from './prebuilt.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Compiles for one platform and writes its package below `into`. Gives the package's folder. */
export async function prebuild(platform, into, compiler = 'zig') {
  const target = platforms[platform]
  if (!target) throw new Error(`no platform ${platform}; there are ${Object.keys(platforms).join(', ')}`)
  const { os, cpu, libc, zig } = target
  if (compiler === 'system' && (os !== process.platform || libc === 'musl'))
    throw new Error(`${platform}: this machine's compiler does not make it; leave out --with system`)
  const module = await build({ arch: cpu, standalone: true, ...(compiler === 'zig' && { zig, platform: os }) })
  return writePackage(platform, into, module)
}

/** The package of a compiled module. Gives its folder. */
export function writePackage(platform, into, module) {
  const { os, cpu, libc } = platforms[platform]
  const folder = join(into, platform)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  copyFileSync(module, join(folder, 'parscale.node'))
  copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'))
  const { version, license, engines, author, homepage, repository, bugs } = JSON.parse(readFileSync(join(root, 'package.json')))
  const name = packageOf(platform)
  const manifest = {
    name,
    version,
    license,
    description: `The compiled module of @parscale/native for ${platform}. Installed by it where it fits.`,
    author,
    homepage,
    repository: { ...repository, directory: 'packages/native' },
    bugs,
    engines,
    os: [os],
    cpu: [cpu],
    ...(libc && { libc: [libc] }),
    files: ['parscale.node'],
    main: 'parscale.node',
    preferUnplugged: true,
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  writeFileSync(
    join(folder, 'README.md'),
    `# ${name}\n\nThe compiled module of [@parscale/native](https://www.npmjs.com/package/@parscale/native) for ${platform}; npm installs it where it fits. Do not depend on it directly.\n`,
  )
  return folder
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const own = prebuiltPackages[0]?.slice(packageOf('').length)
  const {
    target,
    into,
    with: compiler,
  } = parseArgs({
    options: {
      target: { type: 'string', default: own },
      into: { type: 'string', default: join(root, 'prebuilds') },
      with: { type: 'string', default: 'zig' },
    },
  }).values
  for (const platform of target === 'all' ? Object.keys(platforms) : target.split(','))
    process.stdout.write(`${await prebuild(platform, into, compiler)}\n`)
}
