/**
 * Quantised decode and prefill beside llama.cpp, with P streams against as many parallel sequences: a published shape, random
 * weights, the same bits (8 against Q8_0, 4 against Q4_0), on the native step and on ONNX Runtime, in turns in one run.
 *
 *     npm run bench:peers                      1.6B, 8 and 4 bits
 *     npm run bench:peers -- --layers 4 --rounds 2 --bits 8 --engine native --json
 *
 * Models are written below .cache (at 8 bits 1.8 GB, as much packed, and llama.cpp's 1.9 GB) and removed afterwards unless --keep. The first Ctrl-C ends it after the
 * turn under way, with the tables of what was measured.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { type ModelShape, publishedModel } from '@parscale/core/internal/cost'
import { Engine, modelFiles } from '@parscale/core/internal/generation'
import type { KvType } from '@parscale/core/internal/model'
import { openModelFolder } from '@parscale/core/internal/node'
import { writeSyntheticModel } from '../packages/parscale/src/bench/synthetic-model.ts'
import { type EngineName, startModel } from '../packages/parscale/src/load/decode-engine.ts'
import { pythonEnvironment } from '../scripts/python-env.mjs'
import { loadPeer } from './llama-peer.ts'
import { goalsTable, type PeerFigures, peersTable } from './peers-report.ts'

const { values: flags } = parseArgs({
  options: {
    shape: { type: 'string', default: '1.6B' },
    layers: { type: 'string' },
    bits: { type: 'string', default: '8,4' },
    engine: { type: 'string', default: 'native,onnx' },
    /** llama.cpp's own. */
    kv: { type: 'string', default: 'f16' },
    p: { type: 'string', default: '1,8' },
    context: { type: 'string', default: '256' },
    prompt: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '3' },
    steps: { type: 'string', default: '8' },
    threads: { type: 'string', default: '2' },
    /** A prefill of eight streams takes as long as many steps. Default: as the rounds. */
    'prefill-rounds': { type: 'string' },
    keep: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})
const [context, prompt, rounds, steps, threads] = [flags.context, flags.prompt, flags.rounds, flags.steps, flags.threads].map(
  Number,
) as [number, number, number, number, number]
const prefillRounds = Number(flags['prefill-rounds'] ?? rounds)
let interrupted = false
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true
  })
}
const streams = flags.p.split(',').map(Number)
const engines = flags.engine.split(',') as EngineName[]
const kv = flags.kv as KvType
const folder = fileURLToPath(new URL('../.cache/bench-peers', import.meta.url))

/** One side's measurement of one thing; each call is a turn. */
interface Measurement {
  readonly side: EngineName | 'llama'
  readonly what: 'decode' | 'prefill'
  readonly p: number
  /** @returns ms of each step, or of the prompt */
  turn(): Promise<number[]>
}

async function ourModel(shape: ModelShape, name: string, bits: 8 | 4): Promise<string> {
  const path = `${folder}/${name}-${bits}bit`
  if (!existsSync(path)) await writeSyntheticModel(path, { shape, bits, streams }, {})
  return path
}

function llamaModel(shape: ModelShape, name: string, type: 'q8_0' | 'q4_0'): string {
  const path = `${folder}/${name}.${type}.gguf`
  const sizes = {
    layers: shape.numHiddenLayers,
    hidden: shape.hiddenSize,
    intermediate: shape.intermediateSize,
    heads: shape.numAttentionHeads,
    'kv-heads': shape.numKeyValueHeads,
    vocabulary: shape.vocabSize,
  }
  const script = fileURLToPath(new URL('make-gguf.py', import.meta.url))
  const args = Object.entries(sizes).flatMap(([flag, size]) => [`--${flag}`, String(size)])
  if (!existsSync(path))
    execFileSync(pythonEnvironment('gguf'), [script, 'random', path, '--type', type, ...args], { stdio: ['ignore', 2, 2] })
  return path
}

const ids = (count: number, seed: number) => Array.from({ length: count }, (_, i) => (i * 7919 + seed * 104_729) % 1000)

async function measure(shape: ModelShape, name: string, bits: 8 | 4): Promise<{ version: string; figures: PeerFigures[] }> {
  const path = await ourModel(shape, name, bits)
  const open = [await openModelFolder(path)]
  for (const p of streams) if (p > 1) open.push(await openModelFolder(`${path}/streams/p${p}`))
  const files = await modelFiles(open[0]!, open.slice(1))
  const models = new Map<EngineName, Awaited<ReturnType<typeof startModel>>>()
  for (const engine of engines) models.set(engine, await startModel(engine, files, { threads, kv, cacheDirectory: folder }))
  const peer = await loadPeer(llamaModel(shape, name, bits === 8 ? 'q8_0' : 'q4_0'), { threads })

  const measurements: Measurement[] = []
  const decoders = []
  for (const p of streams) {
    for (const [side, model] of models) {
      // An engine each, as a graph's cache has one length for all its sequences.
      const engine = new Engine(model)
      const sequence = engine.open({ p, room: context + (rounds + 1) * steps })
      await engine.prefill(sequence, ids(context, p))
      let next = 1
      measurements.push({
        side,
        what: 'decode',
        p,
        turn: () =>
          repeat(async () => {
            const [result] = await engine.step([{ sequence, ids: [next], want: 'last' }])
            next = result!.logits.reduce((best, logit, id, all) => (logit > all[best]! ? id : best), 0)
          }),
      })
      measurements.push({
        side,
        what: 'prefill',
        p,
        async turn() {
          const prompted = new Engine(model)
          const started = performance.now()
          const sequence = prompted.open({ p, room: prompt })
          await prompted.prefill(sequence, ids(prompt, p))
          const ms = performance.now() - started
          prompted.close(sequence)
          return [ms]
        },
      })
    }
    const decoder = await peer.openDecoder({ sequences: p, contextTokens: context, steps: (rounds + 1) * steps })
    decoders.push(decoder)
    measurements.push({ side: 'llama', what: 'decode', p, turn: () => repeat(() => decoder.step()) })
  }
  // As many rows times tokens: eight streams are eight prompts for a runtime that has no streams.
  const llamaPrefill: Measurement = {
    side: 'llama',
    what: 'prefill',
    p: 1,
    turn: async () => [(await peer.prefillBench({ tokens: prompt, repeats: 1, warmUp: false })).promptMs.median],
  }
  measurements.push(llamaPrefill)

  for (const { what, turn } of measurements) if (what === 'decode') await turn() // warms up
  const rows = new Map(measurements.map((one) => [one, [] as number[][]]))
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? measurements : measurements.toReversed()
    for (const one of order) {
      if (interrupted || (one.what === 'prefill' && round >= prefillRounds)) continue
      const ms = await one.turn()
      rows.get(one)!.push(ms)
      console.error(
        `round ${round + 1}: ${bits} bits, ${one.what}, ${one.side}, P = ${one.p}: ${spreadOf(ms).median.toFixed(1)} ms`,
      )
    }
  }
  const roundsOf = (side: Measurement['side'], what: Measurement['what'], p: number) =>
    rows.get(measurements.find((one) => one.side === side && one.what === what && one.p === p)!)!
  const figures = (['decode', 'prefill'] as const).flatMap((what) =>
    streams.flatMap((p) =>
      engines.map((engine): PeerFigures => {
        const ours = roundsOf(engine, what, p)
        const llama =
          what === 'decode' ? roundsOf('llama', what, p) : roundsOf('llama', what, 1).map((list) => list.map((ms) => p * ms))
        const whole = Math.min(ours.length, llama.length) // an interrupted round is none
        return { engine, bits, what, p, ours: ours.slice(0, whole), llama: llama.slice(0, whole) }
      }),
    ),
  )
  for (const decoder of decoders) await decoder.dispose()
  for (const model of models.values()) await model.dispose()
  await peer.dispose()
  await Promise.all(open.map((one) => one.close()))
  return { version: peer.version, figures: figures.filter(({ ours }) => ours.length > 0) }
}

async function repeat(step: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  while (times.length < steps) {
    const started = performance.now()
    await step()
    times.push(performance.now() - started)
  }
  return times
}

const published = publishedModel(flags.shape).shape
const shape = flags.layers === undefined ? published : { ...published, numHiddenLayers: Number(flags.layers) }
const name = `${flags.shape}-${shape.numHiddenLayers}-layers`
const loadBefore = loadavg()[0]!
const figures: PeerFigures[] = []
let version = ''
try {
  for (const bits of flags.bits.split(',').map(Number) as (8 | 4)[]) {
    if (interrupted) break
    const measured = await measure(shape, name, bits)
    version = measured.version
    figures.push(...measured.figures)
  }
} finally {
  if (!flags.keep) await rm(folder, { recursive: true, force: true })
}
const machine = { cpu: cpus()[0]!.model, cores: cpus().length, loadBefore, loadAfter: loadavg()[0]!, threads, version }
if (flags.json) console.log(JSON.stringify({ machine, model: name, context, prompt, rounds, steps, figures }, null, 2))
else {
  console.log(
    `${machine.cpu}, ${threads} threads of ${machine.cores} cores, load ${loadBefore.toFixed(1)} to ${machine.loadAfter.toFixed(1)}`,
  )
  console.log(
    `${name}, context ${context}, prompt ${prompt}, keys and values in ${kv}; medians of ${rounds} rounds, ratios with the lowest and highest of a round`,
  )
  console.log(`${version}\n`)
  console.log(peersTable(figures, prompt))
  for (const engine of engines)
    console.log(
      `${engine}\n${goalsTable(
        figures.filter((one) => one.engine === engine),
        engine,
      )}`,
    )
}
