/** Package managers, versions of Node and compilers of types, out of the registry and kept in .cache/newcomer. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../release/stage.mjs'

const folder = join(root, '.cache/newcomer')

/** Unpacked from the registry once; dependencies come with it. Gives its folder. */
function tool(spec) {
  const [, name] = /^(@?[^@]+)/.exec(spec)
  const prefix = join(folder, spec.replace(/\W+/g, '-'))
  const path = join(prefix, 'node_modules', name)
  if (existsSync(path)) return path
  mkdirSync(prefix, { recursive: true })
  writeFileSync(join(prefix, 'package.json'), '{ "private": true }')
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error']
  const { status, stderr } = spawnSync('npm', ['install', ...flags, spec], { cwd: prefix, encoding: 'utf8' })
  if (status !== 0) throw new Error(`npm install ${spec}: ${stderr}`)
  return path
}

const platform = `${process.platform}-${process.arch}`

/** Of a major version; undefined: the one that runs this. */
export const nodeOf = (major) => (major === undefined ? process.execPath : join(tool(`node-${platform}@${major}`), 'bin/node'))

/** `add`: what is typed to add packages. */
export const managers = {
  npm: { programs: () => npm('11'), add: 'npm install', exec: 'npx' },
  npm9: { programs: () => npm('9'), add: 'npm install', exec: 'npx' },
  npm10: { programs: () => npm('10'), add: 'npm install', exec: 'npx' },
  pnpm: { programs: () => [['pnpm', existing(tool('pnpm@10'), 'bin/pnpm.cjs')]], add: 'pnpm add', exec: 'pnpm exec' },
  bun: {
    programs: () => [['bun', join(tool(`@oven/bun-${platform}`), 'bin/bun')]],
    add: 'bun add',
    exec: 'node_modules/.bin/parscale',
    bare: true,
  },
  yarn: { programs: () => [['yarn', join(tool('yarn@1'), 'bin/yarn.js')]], add: 'yarn add', exec: 'yarn -s' },
  berry: { programs: () => [['yarn', join(tool('@yarnpkg/cli-dist'), 'bin/yarn.js')]], add: 'yarn add', exec: 'yarn' },
}

function npm(major) {
  const path = tool(`npm@${major}`)
  return [
    ['npm', join(path, 'bin/npm-cli.js')],
    ['npx', join(path, 'bin/npx-cli.js')],
  ]
}

function existing(path, file) {
  if (!existsSync(join(path, file))) throw new Error(`${path} has no ${file}`)
  return join(path, file)
}

/** Of TypeScript. */
export const tscOf = (version) => join(tool(`typescript@${version}`), 'bin/tsc')
export const typeVersions = ['5.9', '6', '7']
