/** Model files that somebody cuts short while a command computes with them: one line and exit code 3, never a wrong token. Linux. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '@parscale/core/internal'
import { publishedModels } from '@parscale/core/internal/cost'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { writeSyntheticModel } from '../bench/synthetic-model.ts'
import { mainPath } from '../testing/cli.ts'
import { engines } from '../testing/engines.ts'
import { shippedModel } from './find-model.ts'

/** Cuts while in use, of each engine. */
const times = 2

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-cut-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

interface Ended {
  readonly code: number | string | null
  readonly stdout: string
  readonly stderr: string
}

function start(args: readonly string[]) {
  const child = spawn(process.execPath, ['--conditions=source', '--import', 'tsx', mainPath, ...args], {
    env: { ...process.env, PARSCALE_CACHE: join(folder, 'cache') },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (text) => {
    stdout += text
  })
  child.stderr.on('data', (text) => {
    stderr += text
  })
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', () => resolve({ code: child.exitCode ?? child.signalCode, stdout, stderr })),
  )
  return { child, ended }
}

/** Generates, and calls `cut` some milliseconds after the first text. */
async function generate(
  model: string,
  engine: string,
  cut?: { readonly afterMs: number; readonly work: () => void },
): Promise<Ended> {
  const { child, ended } = start([
    ...['generate', model, '--prompt', 'The whale', '--p', '1', '--temperature', '0', '--max-tokens', '300', '--engine', engine],
    // As it is stored, the native step would read it into memory.
    ...(engine === 'native' ? ['--bits', '8'] : []),
  ])
  if (cut) child.stdout.once('data', () => setTimeout(cut.work, cut.afterMs))
  return await ended
}

const refusal = /^parscale: (native step: )?\/\S+: was cut short while it was in use[^\n]*\n$/m

const weights = (place: string) =>
  readdirSync(place, { recursive: true, encoding: 'utf8' }).filter((name) => /(^|\/)weights$/.test(name))

const cutPacked = () => {
  for (const file of weights(join(folder, 'cache'))) truncateSync(join(folder, 'cache', file), 4096)
}

it.runIf(process.platform === 'linux').each(engines)('%s', async (engine) => {
  const model = join(folder, engine)
  const copy = () => cpSync(shippedModel, model, { recursive: true, dereference: true })
  copy()
  const whole = await generate(model, engine)
  expect(whole.code).toBe(0)
  const random = createRandom(3)
  // A fast machine may be done before the cut: such a try is made again.
  for (let tries = 0, cutInUse = 0; cutInUse < times; tries++) {
    expect(tries).toBeLessThan(20)
    rmSync(model, { recursive: true })
    rmSync(join(folder, 'cache'), { recursive: true, force: true })
    copy()
    const cutAll = () => {
      if (engine === 'onnx') truncateSync(join(model, 'model.safetensors'), 4096)
      else cutPacked()
    }
    const ended = await generate(model, engine, { afterMs: 40 * random.uniform(), work: cutAll })
    expect(whole.stdout.trimEnd()).toContain(ended.stdout.trimEnd())
    if (ended.code === 0) continue
    cutInUse++
    expect([ended.code, ended.stderr]).toEqual([3, expect.stringMatching(refusal)])
  }
})

/** A layer of two thousand tokens takes long enough to be cut in its middle: then only the handler of SIGBUS can tell. The process stands still for the cut. */
it.runIf(process.platform === 'linux' && engines.includes('native'))('within a layer', async () => {
  const shape = { ...publishedModels[0]!.shape, numHiddenLayers: 3, vocabSize: 1000 }
  const model = join(folder, 'random')
  await writeSyntheticModel(model, { shape, bits: 32, streams: [] }, {})
  const ids = Array.from({ length: 2000 }, (_, i) => i % 1000).join(',')
  const { child, ended } = start(['score', model, '--bits', '8', '--ids', ids, '--engine', 'native', '--threads', '1'])
  const read = (name: string) => {
    try {
      return readFileSync(`/proc/${child.pid}/${name}`, 'utf8')
    } catch {
      return ''
    }
  }
  /** Processor time of the process so far in hundredths of a second: fields 14 and 15 of its stat. */
  const worked = () => {
    const fields = read('stat')
      .replace(/^.*\) /, '')
      .split(' ')
    return Number(fields[11]) + Number(fields[12])
  }
  while (child.exitCode === null && !/\/weights$/m.test(read('maps'))) await sleep(2)
  const before = worked()
  while (child.exitCode === null && worked() < before + 10) await sleep(2)
  child.kill('SIGSTOP')
  cutPacked()
  child.kill('SIGCONT')
  const { code, stderr } = await ended
  expect([code, stderr]).toEqual([3, expect.stringMatching(refusal)])
  expect(stderr).toContain('or its disk fails')
})
