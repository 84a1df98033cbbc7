/**
 * Every command that writes, killed with -9 two hundred times at random moments (`train` has a test of its own): what stands
 * at the target is whole, the next command goes on at once, and after it nothing is left beside what it made.
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createRandom } from '@parscale/core/internal'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type HubServer, startHubServer } from '../hub/testing/hub-server.ts'
import { mainPath } from '../testing/cli.ts'

/** 200 by `npm run test:nightly`. */
const kills = Number(process.env.PARSCALE_KILLS ?? 20)
/** After so many kills, one command is left to its end. */
const batch = 10

const bundle = fileURLToPath(new URL('../../.cache', import.meta.url))
const program = join(bundle, 'main.js')
const model = fileURLToPath(new URL('../../models/small', import.meta.url))
const commit = 'e'.repeat(40)

let scratch: string
let server: HubServer

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-kill-'))
  await build({
    entryPoints: [mainPath, fileURLToPath(new URL('../bench/worker.ts', import.meta.url))],
    bundle: true,
    platform: 'node',
    format: 'esm',
    conditions: ['source'],
    external: ['onnxruntime-node', '@resvg/resvg-js', '@parscale/native'],
    banner: { js: "import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url)" },
    outdir: bundle,
    entryNames: '[name]',
    logLevel: 'error',
  })
  const files: Record<string, Uint8Array> = {}
  for (const name of ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
    files[name] = await readFile(join(model, name))
  server = await startHubServer({ repos: { 'ParScale/tiny': { commit, files } } })
  const text = Array.from({ length: 40 }, (_, i) => `Document ${i}: ${'one two three four '.repeat(i % 7)}`).join('\n\n')
  await writeFile(join(scratch, 'text.txt'), text)
  const recipe = [
    ...[
      'train',
      'pretrain',
      '--data',
      join(scratch, 'text.txt'),
      '--separator',
      '\n\n',
      '--p',
      '1',
      '--steps',
      '2',
      '--threads',
      '1',
    ],
    ...['--batch-size', '2', '--sequence-length', '16', '--held-out', '0.3', '--set', 'sample.tokens=0'],
    ...['--hidden-size', '32', '--layers', '2', '--heads', '2', '--vocab-size', '300', '--out', join(scratch, 'run')],
  ]
  expect(await run(recipe, join(scratch, 'cache'))).toBe(0)
})
afterAll(async () => {
  await server.close()
  for (const path of [scratch, program, join(bundle, 'worker.js')]) await rm(path, { recursive: true, force: true })
})

/** Runs a command, and kills it when `moment` comes, if that is given. @returns the exit code, or null */
async function run(
  args: readonly string[],
  cache: string,
  moment?: (ended: () => boolean) => Promise<unknown>,
): Promise<number | null> {
  const hub = { HF_ENDPOINT: server.url, HF_HUB_CACHE: join(cache, 'hub'), HF_HUB_OFFLINE: '0', HF_TOKEN: '' }
  const env = { ...process.env, PARSCALE_CACHE: cache, ...hub }
  const child = spawn(process.execPath, [program, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const exit = once(child, 'exit')
  if (moment) {
    await moment(() => child.exitCode !== null)
    child.kill('SIGKILL')
  }
  return (await exit)[0]
}

interface Writer {
  readonly args: (place: string) => readonly string[]
  /** What is removed to have the command write again. */
  readonly made: readonly string[]
}

const writers: Readonly<Record<string, Writer>> = {
  convert: { args: (place) => ['convert', model, join(place, 'new')], made: ['new'] },
  quantize: { args: (place) => ['quantize', model, '--out', join(place, 'new'), '--bits', '8'], made: ['new'] },
  export: { args: (place) => ['export', join(scratch, 'run'), '--out', join(place, 'new')], made: ['new'] },
  'score --logits': {
    args: (place) => ['score', model, '--ids', '1,2,3,4,5', '--p', '1', '--threads', '1', '--logits', join(place, 'new')],
    made: ['new', 'cache/packed'],
  },
  pull: { args: () => ['pull', 'ParScale/tiny'], made: ['cache/hub/models--ParScale--tiny'] },
  bench: {
    args: () => [
      'bench',
      '--shape',
      '0.5B',
      '--layers',
      '1',
      '--vocab',
      '256',
      '--p',
      '1',
      '--context',
      '8',
      '--steps',
      '1',
      '--rounds',
      '1',
    ],
    made: [],
  },
}

/** The digest of every file below a folder, by its path. How far a check in the background has come differs from run to run. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (!entry.isDirectory() && entry.name !== 'verified.json')
      files[path.slice(folder.length)] = createHash('sha256')
        .update(await readFile(path))
        .digest('hex')
  }
  return files
}

const isLeftover = (path: string) => /\.partial-|\block$|\.takeover$/.test(path)

it.concurrent.each(Object.entries(writers))('%s', async (name, { args, made }) => {
  const random = createRandom(11)
  const place = await mkdtemp(join(scratch, 'place-'))
  const cache = join(place, 'cache')
  const started = performance.now()
  expect(await run(args(place), cache)).toBe(0)
  const wholeMs = performance.now() - started
  const whole = await filesOf(place)
  expect(Object.keys(whole).filter(isLeftover)).toEqual([])
  let left = 0
  for (let kill = 1; kill <= kills; kill++) {
    for (const path of made) await rm(join(place, path), { recursive: true, force: true })
    // At any moment, and by turns as soon as something partial is there, or a little later.
    await run(args(place), cache, async (ended) => {
      if (kill % 2 === 0) return await sleep(wholeMs * (0.25 + 0.7 * random.uniform()))
      while (!ended() && !(await readdir(place, { recursive: true })).some(isLeftover)) await sleep(1)
      await sleep(10 * random.uniform())
    })
    const files = await filesOf(place)
    left += Number(Object.keys(files).some(isLeftover))
    // What is there under its own name is what it will be. Bytes that a pull has received are kept for the next one.
    for (const [path, digest] of Object.entries(files))
      if (!isLeftover(path) && !path.endsWith('.incomplete')) expect([path, digest]).toEqual([path, whole[path]])
    if (kill % batch !== 0) continue
    for (const path of made.filter((path) => basename(path) === 'new'))
      await rm(join(place, path), { recursive: true, force: true })
    expect(await run(args(place), cache)).toBe(0)
    expect(await filesOf(place)).toEqual(whole)
  }
  console.log(`${name}: ${left} of ${kills} kills left something`)
  expect(left).toBeGreaterThan(0)
})
