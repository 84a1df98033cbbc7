/** Ctrl-C in the middle of whatever a command may compute: two end it, one ends our own work at a clean point. Linux only. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createRandom } from '@parscale/core/internal'
import { publishedModels } from '@parscale/core/internal/cost'
import { temporaryFolder } from '@parscale/core/internal/node'
import { nativeModule } from '@parscale/native'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeSyntheticModel } from '../bench/synthetic-model.ts'
import { type HubServer, startHubServer } from '../hub/testing/hub-server.ts'
import { shippedModel } from '../load/find-model.ts'
import { type Interrupted, interrupted } from '../testing/interrupted.ts'

/** Where a command starts in half a second, as usual; on a slow or busy machine, four times what it takes to start. */
const within = 2000

let folder: string
let hub: HubServer
const at = (...names: string[]) => join(folder, ...names)
const env = () => ({
  PARSCALE_CACHE: at('cache'),
  HF_HOME: at('hub'),
  HF_HUB_CACHE: at('hub'),
  HF_ENDPOINT: hub.url,
  HF_HUB_OFFLINE: '0',
})

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-interrupts-'))
  const words = ['whale', 'sea', 'harpoon', 'captain', 'and', 'the', 'of', 'a']
  const random = createRandom(1)
  const line = () => `${Array.from({ length: 12 }, () => words[random.below(8)]! + random.below(100_000)).join(' ')}.\n`
  writeFileSync(at('long.txt'), Array.from({ length: 1000 }, line).join('').repeat(1000)) // about 100 MB
  const small = Array.from({ length: 3000 }, line)
  writeFileSync(at('short.txt'), small.join('\n'))
  const point = (_: unknown, i: number) => {
    const [N, P] = [5e8 * (1 + (i % 8)) + Math.floor(i / 32), 2 ** (Math.floor(i / 8) % 4)]
    return `${N},${P},${(0.7 + (1e8 / N / (1 + 0.4 * Math.log(P))) ** 0.2 + 0.01 * random.normal()).toFixed(6)}`
  }
  writeFileSync(at('points.csv'), `N,P,loss\n${Array.from({ length: 100_000 }, point).join('\n')}\n`)
  // 150 million weights of the published family, half of them in the embedding.
  const shape = { ...publishedModels[0]!.shape, numHiddenLayers: 4, vocabSize: 100_000 }
  await writeSyntheticModel(at('random'), { shape, bits: 32, streams: [] }, {})
  const files = { 'config.json': Buffer.from('{}'), 'model.safetensors': new Uint8Array(500_000) }
  hub = await startHubServer({
    repos: { 'ORG/slow': { commit: 'e'.repeat(40), files } },
    fault: ({ server }) => (server === 'cdn' ? { kind: 'drip', everyMs: 1000 } : undefined),
  })
})
afterAll(async () => {
  await hub.close()
  rmSync(folder, { recursive: true })
})

const ids = (count: number) => Array.from({ length: count }, (_, i) => i % 10).join(',')
const training = () => [
  'train',
  'pretrain',
  '--out',
  at('run'),
  '--held-out',
  '0.1',
  '--separator',
  '\n\n',
  '--p',
  '2',
  '--steps',
  '100000',
  '--sequence-length',
  '512',
  '--batch-size',
  '4',
]

interface Situation {
  readonly args: () => readonly string[]
  /** One Ctrl-C ends it too: the work is ours, and pauses. */
  readonly ours?: true
  readonly busyMs?: number
  readonly ready?: () => boolean
  /** Undoes what an earlier situation has made. */
  readonly anew?: () => void
}

const without =
  (...names: string[]) =>
  () =>
    rmSync(at(...names), { recursive: true, force: true })
const situations: Record<string, Situation> = {
  'tokenizing a prompt of 100 MB': { args: () => ['score', '--file', at('long.txt')] },
  'tokenizing a data set of 100 MB': {
    args: () => [...training(), '--data', at('long.txt'), '--tokenizer', shippedModel],
    ours: true,
    anew: without('run'),
  },
  'training a tokenizer': {
    args: () => [...training(), '--data', at('short.txt'), '--vocab-size', '4000'],
    anew: without('run'),
    busyMs: 700,
  },
  training: { args: () => [...training(), '--data', at('short.txt'), '--vocab-size', '300'], busyMs: 8000, anew: without('run') },
  // Rounded weights are packed into a file, which takes long enough to be met.
  'packing weights': {
    args: () => ['score', at('random'), '--ids', '1,2,3', '--bits', '4'],
    ours: true,
    ready: () => existsSync(at('cache')) && partials(at('cache')).length > 0,
    anew: without('cache'),
  },
  // With tokens enough that it cannot end between the two.
  'loading a model': { args: () => ['score', at('random'), '--ids', ids(2000), '--engine', 'onnx'], busyMs: 500 },
  'prefill on ONNX Runtime': { args: () => ['score', at('random'), '--ids', ids(4000), '--engine', 'onnx'], busyMs: 6000 },
  'prefill on the native step': { args: () => ['score', at('random'), '--ids', ids(8000), '--engine', 'native'], busyMs: 6000 },
  quantising: { args: () => ['quantize', at('random'), '--out', at('quantised'), '--bits', '4'], ours: true, busyMs: 700 },
  converting: { args: () => ['convert', at('random'), at('converted'), '--dtype', 'bf16'], ours: true, busyMs: 300 },
  'fitting a law to 100,000 points': { args: () => ['fit', at('points.csv')], ours: true },
  'refits of 100,000 points': { args: () => ['predict', at('points.csv'), '--n', '1e9', '--p', '8'], ours: true, busyMs: 3000 },
  'a hub that sends a byte a second': {
    args: () => ['pull', 'ORG/slow'],
    ours: true,
    ready: () => hub.requests.some(({ server }) => server === 'cdn'),
  },
}

describe.runIf(process.platform === 'linux' && 'module' in nativeModule())('Ctrl-C', () => {
  const table = Object.entries(situations).flatMap(([name, { ours }]) =>
    ours
      ? ([
          [name, 1],
          [name, 2],
        ] as const)
      : ([[name, 2]] as const),
  )
  it.each(table)('%s: %i', async (name, signals) => {
    const { args, busyMs, ready, anew } = situations[name]!
    // A fast machine may be done before: then it is interrupted earlier.
    let met: Interrupted | undefined
    for (let [tries, ms] = [0, busyMs ?? 1500]; !met; tries++, ms /= 2) {
      expect(tries).toBeLessThan(6)
      anew?.()
      met = await interrupted({ args: args(), env: env(), signals, busyMs: ms, ready })
    }
    const { code, endMs, startMs, said } = met
    expect([code, endMs < Math.max(within, 4 * startMs)], `${said}\n${endMs} ms`).toEqual([130, true])
    if (signals === 1) {
      expect(said).toContain('interrupted')
      expect(partials(folder)).toEqual([])
    }
    await nextRun()
    expect(partials(folder)).toEqual([])
    for (const target of ['quantised', 'converted']) expect(existsSync(at(target))).toBe(false)
  })
})

/** Partial files and folders of killed processes below a folder; what `pull` goes on with is none. */
const partials = (below: string): string[] =>
  (readdirSync(below, { recursive: true }) as string[]).filter((name) => /\.partial-[^/]*$/.test(name))

/** Whoever writes in the same folder next removes them. */
async function nextRun(): Promise<void> {
  for (const name of partials(folder)) {
    const path = at(name)
    if (existsSync(path)) await (await temporaryFolder(join(dirname(path), 'next'))).remove()
  }
}
