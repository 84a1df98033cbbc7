/**
 * Time until a model is ready, the first time and later; memory at the peak; bytes that are kept on the disk.
 *
 *     npm run bench:cold-start                         1.6B in bfloat16 at 8 and 4 bits, SmolLM2's GGUF file
 *     npm run bench:cold-start -- --layers 4 --only 8bit,4bit --json
 *
 * Each start is a process of its own. The first one of a case has an empty cache; of the later ones, the quickest is shown. Files are in the
 * system's page cache, as after a download. Processor time beside the clock's: other work on the machine shows in the latter only.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { castStream } from '@parscale/core/internal/checkpoint'
import { writeModelFolder } from '@parscale/core/internal/node'
import { resolveShape } from '../packages/parscale/src/bench/model-shape.ts'
import { syntheticContents, writeSyntheticModel } from '../packages/parscale/src/bench/synthetic-model.ts'
import { fetchSmolLM2 } from '../scripts/fetch-smollm2.mjs'

const { values: flags } = parseArgs({
  options: {
    shape: { type: 'string', default: '1.6B' },
    layers: { type: 'string' },
    only: { type: 'string', default: 'bf16-8,bf16-4,smollm2' },
    later: { type: 'string', default: '3' },
    /** Leaves the models of random weights in .cache/cold-start for the next run. */
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

interface Case {
  readonly name: string
  readonly model: () => Promise<string>
  readonly bits?: 8 | 4
  /** With its tokenizer. */
  readonly text?: true
}

const folder = fileURLToPath(new URL('../.cache/cold-start', import.meta.url))
const { shape } = await resolveShape(flags.shape, flags.layers === undefined ? {} : { layers: Number(flags.layers) }, process.env)
const label = `${flags.shape}-${shape.numHiddenLayers}`

async function floats(dtype: 'BF16' | 'F32'): Promise<string> {
  const path = join(folder, `${label}-${dtype}`)
  if (existsSync(path)) return path
  const contents = syntheticContents({ shape, bits: 32, streams: [] })
  const tensors = contents.tensors.map((tensor) => castStream(tensor, dtype))
  await writeModelFolder(path, { ...contents, tensors }, { maxShardBytes: Number.POSITIVE_INFINITY })
  return path
}

async function quantised(bits: 8 | 4): Promise<string> {
  const path = join(folder, `${label}-int${bits}`)
  if (!existsSync(path)) await writeSyntheticModel(path, { shape, bits, streams: [] }, {})
  return path
}

const cases: readonly Case[] = [
  { name: 'bf16-8', model: () => floats('BF16'), bits: 8 },
  { name: 'bf16-4', model: () => floats('BF16'), bits: 4 },
  { name: 'bf16', model: () => floats('BF16') },
  { name: 'f32', model: () => floats('F32') },
  { name: 'int8', model: () => quantised(8) },
  { name: 'int4', model: () => quantised(4) },
  { name: 'smollm2', model: fetchSmolLM2, text: true },
  { name: 'smollm2-8', model: fetchSmolLM2, bits: 8, text: true },
  { name: 'smollm2-4', model: fetchSmolLM2, bits: 4, text: true },
]

interface Start {
  readonly readyMs: number
  readonly userMs: number
  readonly systemMs: number
  readonly peakBytes: number
}

function start({ bits, text }: Case, path: string, cache: string): Start {
  const child = fileURLToPath(new URL('cold-start-child.mjs', import.meta.url))
  const args = [child, path, String(bits ?? ''), text ? 'text' : '']
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    env: { ...process.env, PARSCALE_CACHE: cache },
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return JSON.parse(stdout)
}

async function bytesBelow(path: string): Promise<number> {
  if (statSync(path).isFile()) return statSync(path).size
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}

const rows = []
await mkdir(folder, { recursive: true })
for (const each of flags.only.split(',').map((name) => cases.find((one) => one.name === name))) {
  if (!each) throw new Error(`--only: one of ${cases.map(({ name }) => name).join(', ')}`)
  const path = await each.model()
  const cache = await mkdtemp(join(folder, 'cache-'))
  const first = start(each, path, cache)
  const later = Array.from({ length: Number(flags.later) }, () => start(each, path, cache))
  const best = later.reduce((a, b) => (b.readyMs < a.readyMs ? b : a))
  rows.push({ name: each.name, first, later: best, sourceBytes: await bytesBelow(path), cacheBytes: await bytesBelow(cache) })
  await rm(cache, { recursive: true })
}
if (!flags.keep)
  for (const name of await readdir(folder)) if (name.startsWith(label)) await rm(join(folder, name), { recursive: true })

const seconds = (ms: number) => (ms / 1000).toFixed(2)
const megabytes = (bytes: number) => Math.round(bytes / 1e6)
const cell = ({ readyMs, userMs, systemMs, peakBytes }: Start) =>
  `${seconds(readyMs)} s (processor ${seconds(userMs + systemMs)} s), ${megabytes(peakBytes)} MB`
if (flags.json) console.log(JSON.stringify({ machine: cpus()[0]!.model, load: loadavg()[0], rows }, null, 2))
else {
  console.log(`${cpus()[0]!.model}, load ${loadavg()[0]!.toFixed(1)}`)
  console.log('| model | first start, peak | later | source | kept beside it |\n|---|---|---|---|---|')
  for (const { name, first, later, sourceBytes, cacheBytes } of rows)
    console.log(`| ${name} | ${cell(first)} | ${cell(later)} | ${megabytes(sourceBytes)} MB | ${megabytes(cacheBytes)} MB |`)
}
