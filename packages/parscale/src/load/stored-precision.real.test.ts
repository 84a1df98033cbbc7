/**
 * SmolLM2 (Q4_1) as it is run when nobody says in how many bits: its own integers, from one copy in the cache, whatever the file is
 * called. Held against float32 of the same file, which is what the integers mean.
 */
import { cp, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compareIds } from '@parscale/core/internal/evaluation'
import { Engine } from '@parscale/core/internal/generation'
import { createTokenizer, tokenizerFiles } from '@parscale/core/internal/tokenizer'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchSmolLM2 } from '../../../../scripts/fetch-smollm2.mjs'
import { parscale } from '../testing/cli.ts'
import { engines } from '../testing/engines.ts'
import { runHere } from '../testing/run-here.ts'
import { type LoadOptions, loadModel } from './load.ts'

const text = readFile(fileURLToPath(new URL('../../../../LICENSE', import.meta.url)), 'utf8')

let scratch: string
let file: string
let copy: string
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-stored-'))
  file = await fetchSmolLM2()
  copy = join(scratch, 'elsewhere', 'renamed.gguf')
  await cp(file, copy)
})
afterAll(() => rm(scratch, { recursive: true }))

const environment = (name: string) => ({ ...process.env, PARSCALE_CACHE: join(scratch, name) })
const prompt = ['--prompt', 'The capital of France is', '--max-tokens', '8', '--temperature', '0', '--threads', '2', '--json']
async function answer(env: NodeJS.ProcessEnv, path: string, ...flags: string[]): Promise<{ text: string; precision: string }> {
  const { code, stdout, stderr } = await runHere(['generate', path, ...prompt, ...flags], env)
  expect([code, stderr]).toEqual([0, ''])
  return JSON.parse(stdout)
}

async function bytesIn(folder: string): Promise<number> {
  let sum = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size
  return sum
}
const entries = async (env: NodeJS.ProcessEnv): Promise<{ kind: string; weights: string; sizeBytes: number }[]> =>
  JSON.parse((await runHere(['cache', 'list', '--json'], env)).stdout).entries

describe.runIf(engines.includes('native'))('on the native step', () => {
  it('the blocks of the file run under two paths in three precisions with no copy; in float32 with one', async () => {
    const env = environment('cache')
    const stored = await answer(env, file)
    expect(stored.precision).toBe('4 bits')
    for (const path of [copy, file])
      for (const bits of [[], ['--bits', '4'], ['--bits', '8']])
        expect(await answer(env, path, ...bits)).toMatchObject({ text: stored.text, precision: '4 bits' })
    expect(await entries(env)).toEqual([])
    for (const path of [file, copy]) expect(await answer(env, path, '--bits', '32')).toMatchObject({ precision: 'float32' })
    const found = await entries(env)
    expect(found.map(({ kind, weights }) => [kind, weights])).toEqual([['packed', 'float32']])
    const largest = found[0]!.sizeBytes
    const total = await bytesIn(env.PARSCALE_CACHE)
    console.info(`two paths, four precisions: ${total} bytes; the entry ${largest}, the file ${(await stat(file)).size}`)
    expect(total).toBeLessThan(1.01 * largest)
    expect(largest).toBeLessThan(1.001 * 4 * 134_515_008)
  })

  it('other weights of the same size and time are another model', async () => {
    const env = environment('cache')
    const other = join(scratch, 'other.gguf')
    await cp(file, other)
    const bytes = await readFile(other)
    bytes.fill(0, bytes.length - 3_000_000) // of the last layers
    const { atime, mtime } = await stat(file)
    await writeFile(other, bytes)
    await utimes(other, atime, mtime)
    expect((await answer(env, other)).text).not.toBe((await answer(env, file)).text)
    const before = await entries(env)
    await answer(env, other, '--bits', '32')
    expect(await entries(env)).toHaveLength(before.length + 1)
  })

  it('two processes at once make one entry and say the same, as without one', async () => {
    const env = environment('shared')
    const run = (path: string, bits: string[]) => parscale(['generate', path, ...prompt, ...bits], { env })
    for (const [bits, made] of [[[], 0] as const, [['--bits', '32'], 1] as const]) {
      const results = await Promise.all([run(file, [...bits]), run(copy, [...bits])])
      expect(results.map(({ code }) => code)).toEqual([0, 0])
      expect(JSON.parse(results[0]!.stdout).text).toBe(JSON.parse(results[1]!.stdout).text)
      expect(await entries(env)).toHaveLength(made)
    }
  })

  it('is as close to float32 as 8-bit hidden states allow', async () => {
    const options: LoadOptions = { threads: 2, env: environment('cache') }
    const [exact, stored] = [await loadModel(file, { ...options, bits: 32 }), await loadModel(file, options)]
    const ids = createTokenizer(await tokenizerFiles(exact.backbone), exact.backbone.path)
      .encode(await text)
      .slice(0, 400)
    const { kl, topOneAgreement, perplexity } = await compareIds(new Engine(exact.model), new Engine(stored.model), ids, { p: 1 })
    console.info(
      `SmolLM2 as stored beside float32, ${ids.length} tokens: KL ${kl.mean.toExponential(2)}, 99 % ${kl.p99.toFixed(3)}, top-1 equal at ${(100 * topOneAgreement).toFixed(1)} %, perplexity ratio ${perplexity?.ratio.toFixed(4)}`,
    )
    expect(kl.mean).toBeLessThan(0.01)
    expect(topOneAgreement).toBeGreaterThan(0.94)
    for (const loaded of [exact, stored]) {
      await loaded.model.dispose()
      await loaded.close()
    }
  })
})

it('ONNX Runtime runs the same integers, from one folder', async () => {
  const env = environment('onnx')
  for (const path of [file, copy]) expect(await answer(env, path, '--engine', 'onnx')).toMatchObject({ precision: '4 bits' })
  const found = await entries(env)
  expect(found.map(({ kind }) => kind)).toEqual(['quantised'])
  expect(found[0]!.sizeBytes).toBeLessThan(1.25 * (await stat(file)).size)
})
