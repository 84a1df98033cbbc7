/**
 * Decode and prefill speed without quantised weights beside llama.cpp: the same numbers, threads and context, in turns in one run.
 *
 *     npm run bench:decode                     SmolLM2-135M and a random model of Qwen2.5-0.5B's shape
 *     npm run bench:decode -- --rounds 5 --only smollm2 --json
 *     npm run bench:decode -- --type bf16 --only smollm2 --prefill-rounds 0
 *
 * On the native step, or `--engine onnx`. `--type bf16`: weights in bfloat16 on both sides.
 */
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import { Engine, modelFiles } from '@parscale/core/internal/generation'
import { openModelFolder, openStreamed, writeModelFolder } from '@parscale/core/internal/node'
import { streamSetContents } from '../packages/parscale/src/bench/synthetic-model.ts'
import { type EngineName, startModel } from '../packages/parscale/src/load/decode-engine.ts'
import { fetchSmolLM2 } from '../scripts/fetch-smollm2.mjs'
import { pythonEnvironment } from '../scripts/python-env.mjs'
import { loadPeer } from './llama-peer.ts'

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '2' },
    steps: { type: 'string', default: '16' },
    context: { type: 'string', default: '128' },
    prompt: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string' },
    engine: { type: 'string', default: 'native' },
    type: { type: 'string', default: 'f32' },
    p: { type: 'string', default: '1,2,4,8' },
    /** Default: as the rounds. */
    'prefill-rounds': { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const [rounds, steps, context, prompt, threads] = [flags.rounds, flags.steps, flags.context, flags.prompt, flags.threads].map(
  Number,
) as [number, number, number, number, number]
const prefillRounds = Number(flags['prefill-rounds'] ?? rounds)
const streams = flags.p.split(',').map(Number)
const engineName = flags.engine as EngineName
if (!['f32', 'bf16'].includes(flags.type)) throw new Error('--type is f32 or bf16')
const type = flags.type as 'f32' | 'bf16'
const prefixTokens = 48
const cache = fileURLToPath(new URL('../.cache', import.meta.url))

async function smolLM2(): Promise<string> {
  const path = `${cache}/smollm2/SmolLM2-135M-Instruct.${type.toUpperCase()}.gguf`
  if (!existsSync(path)) makeGguf('dequantise', await fetchSmolLM2(), path, '--type', type)
  return path
}

async function random05B(): Promise<string> {
  const path = `${cache}/random-0.5B.${type.toUpperCase()}.gguf`
  if (!existsSync(path)) makeGguf('random', path, '--type', type)
  return path
}

function makeGguf(...args: string[]): void {
  const script = fileURLToPath(new URL('make-gguf.py', import.meta.url))
  execFileSync(pythonEnvironment('gguf'), [script, ...args], { stdio: ['ignore', 2, 2] })
}

const models: Record<string, () => Promise<string>> = { smollm2: smolLM2, 'random-0.5B': random05B }

interface Row {
  readonly model: string
  readonly what: 'decode' | 'prefill'
  readonly p: number
  /** Lower quartiles, in ms: of a step, or of the whole prompt. */
  readonly oursMs: number
  readonly llamaMs: number
  readonly ratio: number
  readonly oursSpreadMs: readonly [number, number]
  readonly llamaSpreadMs: readonly [number, number]
}

/** Collects times of both sides under a key and turns them into rows. */
class Times {
  readonly #times = new Map<string, number[]>()
  add(key: string, ...ms: number[]): void {
    this.#times.set(key, [...(this.#times.get(key) ?? []), ...ms])
  }
  row(model: string, what: Row['what'], p: number): Row {
    const [ours, llama] = ['ours', 'llama'].map((side) => spreadOf(this.#times.get(`${side} ${what} ${p}`)!)) as [
      ReturnType<typeof spreadOf>,
      ReturnType<typeof spreadOf>,
    ]
    return {
      model,
      what,
      p,
      oursMs: ours.lowerQuartile,
      llamaMs: llama.lowerQuartile,
      ratio: ours.lowerQuartile / llama.lowerQuartile,
      oursSpreadMs: [ours.min, ours.median],
      llamaSpreadMs: [llama.min, llama.median],
    }
  }
}

async function measure(name: string, path: string): Promise<Row[]> {
  const { backbone } = await openStreamed(path, undefined)
  const sets = []
  for (const p of streams.slice(1)) {
    const folder = `${cache}/bench-streams/${name}-p${p}`
    if (!existsSync(folder))
      await writeModelFolder(folder, streamSetContents(backbone.config, { n: p, nTokens: prefixTokens }, 32))
    sets.push(await openModelFolder(folder))
  }
  const model = await startModel(engineName, await modelFiles(backbone, sets), { threads, cacheDirectory: `${cache}/parscale` })
  const peer = await loadPeer(path, { threads })
  const engine = new Engine(model)
  const times = new Times()
  const ids = (count: number, seed: number) => Array.from({ length: count }, (_, i) => (i * 7919 + seed * 104_729) % 40_000)

  for (let round = 0; round < rounds; round++) {
    for (const p of streams) {
      const sequence = engine.open({ p })
      let result = await engine.prefill(sequence, ids(context, round))
      for (let step = 0; step < steps; step++) {
        const started = performance.now()
        let best = 0
        for (let id = 1; id < result.logits.length; id++) if (result.logits[id]! > result.logits[best]!) best = id
        result = (await engine.step([{ sequence, ids: [best], want: 'last' }]))[0]!
        times.add(`ours decode ${p}`, performance.now() - started)
      }
      engine.close(sequence)
      const figures = await peer.decodeBench({ sequences: p, contextTokens: context, steps })
      times.add(`llama decode ${p}`, figures.stepMs.lowerQuartile)
    }
    if (round >= prefillRounds) continue
    for (const p of [1, 8]) {
      if (!streams.includes(p)) continue
      const sequence = engine.open({ p })
      const started = performance.now()
      await engine.prefill(sequence, ids(prompt, round))
      times.add(`ours prefill ${p}`, performance.now() - started)
      engine.close(sequence)
    }
    // The same number of rows times tokens: eight streams are eight times the prompt for a runtime that has no streams.
    const { promptMs } = await peer.prefillBench({ tokens: prompt, repeats: 1 })
    times.add('llama prefill 1', promptMs.min)
    times.add('llama prefill 8', 8 * promptMs.min)
  }
  await model.dispose()
  await peer.dispose()
  await Promise.all([backbone, ...sets].map((open) => open.close()))
  const prefills = prefillRounds > 0 ? [1, 8].filter((p) => streams.includes(p)) : []
  return [...streams.map((p) => times.row(name, 'decode', p)), ...prefills.map((p) => times.row(name, 'prefill', p))]
}

const rows: Row[] = []
for (const [name, path] of Object.entries(models))
  if (!flags.only || flags.only === name) rows.push(...(await measure(name, await path())))

const machine = { cpu: cpus()[0]!.model, cores: cpus().length, load: loadavg()[0]!, threads, context, prompt, rounds, steps }
if (flags.json) console.log(JSON.stringify({ machine, rows }, null, 2))
else {
  console.log(
    `${machine.cpu}, ${threads} threads of ${machine.cores} cores, load ${machine.load.toFixed(1)}; ${type}, ${engineName}; lower quartiles of ${rounds} rounds, (min, median)`,
  )
  const show = (row: Row, ms: number, [min, median]: readonly [number, number]) =>
    row.what === 'decode'
      ? `${ms.toFixed(1)} ms (${min.toFixed(1)}, ${median.toFixed(1)})`
      : `${((prompt / ms) * 1000).toFixed(0)} tok/s`
  for (const row of rows) {
    console.log(
      `${row.model.padEnd(12)} ${row.what.padEnd(8)} P=${row.p}  ours ${show(row, row.oursMs, row.oursSpreadMs).padEnd(24)} llama.cpp, ${row.p} sequence(s) ${show(row, row.llamaMs, row.llamaSpreadMs).padEnd(24)} ours takes ${row.ratio.toFixed(2)}x as long`,
    )
  }
}
