/** Which engine runs: said by `inspect`, chosen by `--engine`, and with a line where it is not the native one. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { instructionSets } from '@parscale/native'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel } from '../../../core/src/testing/fixtures.ts'
import { writeRandomModel } from '../../../core/src/testing/random-model.ts'
import { parscale } from '../testing/cli.ts'
import { engines } from '../testing/engines.ts'

let folder: string
let env: NodeJS.ProcessEnv
let olmo: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-engine-'))
  env = { PARSCALE_CACHE: join(folder, 'cache') }
  olmo = join(folder, 'olmo')
  cpSync(byteModel, olmo, { recursive: true })
  const config = JSON.parse(readFileSync(join(olmo, 'config.json'), 'utf8'))
  const plain = Object.fromEntries(Object.entries(config).filter(([key]) => !key.startsWith('parscale_')))
  await writeRandomModel(join(folder, 'random'), { ...plain, model_type: 'olmo2', rope_scaling: null })
  for (const name of ['config.json', 'model.safetensors']) cpSync(join(folder, 'random', name), join(olmo, name))
})
afterAll(() => rmSync(folder, { recursive: true }))

const generate = ['generate', '--prompt', 'Hello', '--max-tokens', '4', '--temperature', '0', '--json']
const inspected = async (args: readonly string[], more: NodeJS.ProcessEnv = {}) =>
  JSON.parse((await parscale(['inspect', '--json', ...args], { env: { ...env, ...more } })).stdout).engine

/** A process that does not find a package, as where an optional dependency was left out. */
const without = (name: '@parscale/native' | 'onnxruntime-node') => {
  const base = name.replace(/\W/g, '')
  const [hooks, loader] = ['hooks', 'loader'].map((kind) => join(folder, `${base}-${kind}.mjs`)) as [string, string]
  writeFileSync(
    hooks,
    `export async function resolve(name, context, next) {
  if (name !== '${name}') return next(name, context)
  throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
}
`,
  )
  writeFileSync(
    loader,
    `import Module, { register } from 'node:module'
register('./${base}-hooks.mjs', import.meta.url)
const resolve = Module._resolveFilename
Module._resolveFilename = function (name, ...rest) {
  if (name !== '${name}') return resolve.call(this, name, ...rest)
  throw Object.assign(new Error("Cannot find module '${name}'"), { code: 'MODULE_NOT_FOUND' })
}
`,
  )
  return { NODE_OPTIONS: `--import ${loader}` }
}

describe.runIf(engines.includes('native'))('native code', () => {
  it('runs where nobody says otherwise, with what the CPU has', async () => {
    const [best] = instructionSets()
    if (best !== 'portable') expect(await inspected([byteModel])).toEqual({ name: 'native', why: best })
    expect(await inspected([byteModel, '--engine', 'onnx'])).toEqual({ name: 'onnx', why: 'as asked for' })
  })

  it('writes the same text as ONNX Runtime', async () => {
    const answers = await Promise.all(
      engines.map((engine) => parscale([...generate, byteModel, '--engine', engine, '--seed', '1'], { env })),
    )
    expect(new Set(answers.map(({ stdout }) => JSON.parse(stdout).text)).size).toBe(1)
    for (const { stderr } of answers) expect(stderr).not.toContain('running on ONNX Runtime')
  })

  it('leaves a model that it does not know to ONNX Runtime, and says so', async () => {
    const reason = 'the native step knows no norms behind attention and MLP, which olmo2 models have'
    expect(await inspected([olmo])).toEqual({ name: 'onnx', why: reason })
    const { code, stderr } = await parscale([...generate, olmo], { env })
    expect([code, stderr]).toEqual([0, expect.stringContaining(`running on ONNX Runtime: ${reason}\n`)])
    const refused = await parscale([...generate, olmo, '--engine', 'native'], { env })
    expect([refused.code, refused.stderr]).toEqual([3, `parscale: ${reason}; use --engine onnx\n`])
    expect(JSON.parse(refused.stdout).error.message).toBe(`${reason}; use --engine onnx`)
  })

  it('is refused on another device', async () => {
    const { code, stderr } = await parscale([...generate, byteModel, '--engine', 'native', '--device', 'webgpu'], { env })
    expect(code).toBe(2)
    expect(stderr).toContain(
      '--engine native: the native step runs on the CPU only, not on webgpu; leave --engine or --device out',
    )
  })
})

it('ONNX Runtime runs where the package is not installed, and one line says so', async () => {
  const withoutNative = { ...env, ...without('@parscale/native') }
  const reason = 'the package @parscale/native is not installed'
  const { code, stderr } = await parscale([...generate, byteModel], { env: withoutNative })
  expect(code).toBe(0)
  expect(stderr.match(/^running on .*$/gm)).toEqual([`running on ONNX Runtime: ${reason}`])
  expect(await inspected([byteModel], without('@parscale/native'))).toEqual({ name: 'onnx', why: reason })
  const refused = await parscale([...generate, byteModel, '--engine', 'native'], { env: withoutNative })
  expect(refused.stderr).toBe(`parscale: ${reason}; use --engine onnx\n`)
  expect(refused.code).toBe(3)
})

it('native code does without onnxruntime-node, and ONNX Runtime says that it is missing', async () => {
  const withoutOnnx = { ...env, ...without('onnxruntime-node') }
  if (engines.includes('native')) {
    const { code, stdout } = await parscale([...generate, byteModel, '--engine', 'native'], { env: withoutOnnx })
    expect([code, JSON.parse(stdout).tokens.length]).toEqual([0, 4])
  }
  const toAdd =
    'the package onnxruntime-node is not installed (WebGPU, CUDA and what has no native step need it): npm install --ignore-scripts onnxruntime-node\n'
  for (const args of [
    [...generate, byteModel, '--engine', 'onnx'],
    [...generate, byteModel, '--device', 'webgpu', '--engine', 'onnx'],
    ['train', 'pretrain', '--data', byteModel, '--out', join(folder, 'never'), '--device', 'webgpu'],
  ]) {
    const refused = await parscale(args, { env: withoutOnnx })
    expect([refused.code, refused.stderr]).toEqual([3, `parscale: ${toAdd}`])
    if (args.includes('--json')) expect(JSON.parse(refused.stdout).error.kind).toBe('unsupported')
  }
  const neither = await parscale([...generate, olmo], { env: withoutOnnx })
  expect(neither.stderr).toMatch(
    /^parscale: the native step knows no norms behind attention and MLP, which olmo2 models have; ONNX Runtime would run it, but the package/,
  )
  expect(neither.stderr.endsWith(toAdd)).toBe(true)
})
