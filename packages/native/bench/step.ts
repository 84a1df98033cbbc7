/**
 * What a step costs, from the packed file up: a model with random weights (the 1.6B of the paper unless --layers says fewer),
 * ms per token for P rows of one sequence, and the weights' bytes per second against what this machine reads at best.
 *
 *   npx tsx --conditions=source packages/native/bench/step.ts [--bits 8] [--layers 36] [--context 256,8192] [--p 1,8,16] [--threads 2]
 *     [--cache int8] [--prefill 512] [--set avx2] [--steps 8] [--against /tmp/other/parscale.node] [--shape 135M] [--rank 4 | --scales]
 *
 * `--rank`, `--scales`: each row has low ranks, or scales, of its own. `--against`: another build of the module takes turns with this one, step by step, and must give the same bits. Processor time leaves out what others take of the
 * cores, but counts threads that wait for each other, so on a busy machine compare that of `--threads 1`.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import type { ModelConfig } from '@parscale/core/internal/model'
import { type Layout, lanes, planFile, type Role, recordBytes, tensorBytes } from '@parscale/core/internal/packed'
import { type CacheType, cacheTypes } from '../src/index.ts'
import { type NativeModule, nativeModule } from '../src/native-module.ts'

const { values } = parseArgs({
  options: {
    bits: { type: 'string', default: '8' },
    block: { type: 'string', default: '128' },
    layers: { type: 'string', default: '36' },
    context: { type: 'string', default: '256' },
    p: { type: 'string', default: '1,8,16' },
    threads: { type: 'string', default: String(availableParallelism()) },
    cache: { type: 'string', default: 'int8' },
    prefill: { type: 'string', default: '0' },
    steps: { type: 'string', default: '8' },
    shape: { type: 'string', default: '1.6B' },
    rank: { type: 'string', default: '0' },
    scales: { type: 'boolean', default: false },
    set: { type: 'string' },
    against: { type: 'string' },
  },
})
const print = (line: string) => process.stdout.write(`${line}\n`)
const [bits, blockSize, layers, threads] = [values.bits, values.block, values.layers, values.threads].map(Number) as [
  number,
  number,
  number,
  number,
]
const contexts = values.context.split(',').map(Number)
const [H, I, heads, kvHeads, D, V] =
  values.shape === '135M' ? ([576, 1536, 9, 3, 64, 49152] as const) : ([1536, 8320, 16, 2, 96, 151936] as const)

const format = bits === 8 ? 'int8' : bits === 4 ? 'int4' : 'float32'
const matrix = (role: Role, layer: number, outputs: number, inputs: number): Layout => ({
  role,
  layer,
  outputs,
  inputs,
  format,
  blockSize: bits < 32 ? blockSize : 0,
  hasMinima: false,
  isVector: false,
})
const vector = (role: Role, layer: number, outputs: number): Layout => ({
  role,
  layer,
  outputs,
  inputs: 1,
  format: 'float32',
  blockSize: 0,
  hasMinima: false,
  isVector: true,
})
const tensors: Layout[] = [matrix('embedding', 0, V, H), vector('finalNorm', 0, H)]
for (let layer = 0; layer < layers; layer++) {
  tensors.push(
    vector('inputNorm', layer, H),
    matrix('q', layer, heads * D, H),
    matrix('k', layer, kvHeads * D, H),
    matrix('v', layer, kvHeads * D, H),
    matrix('o', layer, H, heads * D),
    vector('postNorm', layer, H),
    matrix('gate', layer, I, H),
    matrix('up', layer, I, H),
    matrix('down', layer, H, I),
  )
}
const config = {
  vocabSize: V,
  hiddenSize: H,
  intermediateSize: I,
  numAttentionHeads: heads,
  numKeyValueHeads: kvHeads,
  headDim: D,
  rmsNormEps: 1e-6,
  slidingWindows: Array(layers).fill(null),
  parscale: { n: 1, attnSmooth: 0 },
} as unknown as ModelConfig

/** Bytes of any value are good integers; scales and floats are small numbers. Every tensor differs, as caches must not help. */
function writeModel(path: string): number {
  const { header, offsets, totalBytes } = planFile(config, 'backbone', tensors)
  const file = openSync(path, 'wx')
  writeSync(file, header, 0, header.byteLength, 0)
  const random = new Uint32Array(1 << 22)
  let seed = 1
  for (let i = 0; i < random.length; i++) random[i] = seed = (Math.imul(seed, 1664525) + 1013904223) | 0
  const bytes = new Uint8Array(random.buffer)
  for (const [i, tensor] of tensors.entries()) {
    const size = tensorBytes(tensor)
    if (tensor.blockSize === 0) {
      const floats = new Float32Array(Math.min(size, 1 << 24) / 4).map((_, k) =>
        tensor.isVector ? 1 : ((random[k]! >>> 8) / 2 ** 24 - 0.5) / 20,
      )
      for (let at = 0; at < size; at += floats.byteLength)
        writeSync(file, floats, 0, Math.min(floats.byteLength, size - at), offsets[i]! + at)
      continue
    }
    const record = recordBytes(tensor)
    const records = Math.max(1, Math.floor(bytes.length / 2 / record))
    for (let at = 0; at < size; at += records * record) {
      const from = (i * 4096 + (at >>> 8) * 64) % (bytes.length / 2)
      const part = bytes.slice(from, from + Math.min(records * record, size - at))
      const scales = new Float32Array(part.buffer)
      for (let r = 0; r < part.length; r += record) scales.fill(1 / 127 / 50, r / 4, r / 4 + lanes)
      writeSync(file, part, 0, part.length, offsets[i]! + at)
    }
  }
  ftruncateSync(file, totalBytes)
  closeSync(file)
  return totalBytes
}

const loaded = nativeModule()
if (!('module' in loaded)) throw new Error(loaded.reason)
const modules = [{ name: '', native: loaded.module }]
if (values.against) {
  const native = createRequire(import.meta.url)(resolve(values.against)) as NativeModule
  modules[0]!.name = 'new '
  modules.push({ name: 'old ', native })
}

interface Case {
  readonly p: number
  readonly context: number
  readonly name: string
  readonly native: NativeModule
  readonly model: ReturnType<NativeModule['openModel']>
  readonly rows: readonly number[]
  readonly ms: number[]
  readonly processorMs: number[]
  /** Of the last step. */
  hidden: Float32Array
}

const rank = Number(values.rank)
const adapted = rank > 0 || values.scales

/** As many adapters as there are rows at most, and number 0. */
function writeAdapters(native: NativeModule, model: Case['model'], count: number): void {
  native.openAdapters(model, count, rank)
  const inputs = [H, heads * D, H, I]
  const outputs = [heads * D, kvHeads * D, kvHeads * D, H, I, I, H]
  const reads = [0, 0, 0, 1, 2, 2, 3]
  const random = (size: number, by: number, about: number) =>
    Float32Array.from({ length: count * size }, (_, i) => about + by * Math.sin(i * 0.7))
  for (let layer = 0; layer < layers; layer++) {
    if (values.scales)
      for (const [part, size] of inputs.entries()) native.writeAdapters(model, 0, layer, part, random(size, 0.1, 1))
    for (const [part, size] of outputs.entries()) {
      if (values.scales) native.writeAdapters(model, 1, layer, part, random(size, 0.1, 1))
      if (rank === 0) continue
      native.writeAdapters(model, 3, layer, part, random(rank * inputs[reads[part]!]!, 0.02, 0))
      native.writeAdapters(model, 4, layer, part, random(rank * size, 0.02, 0))
    }
  }
}

const batch = (rows: readonly number[], prefix: number, length: number, count: number) => ({
  rows: Int32Array.from(rows),
  prefixes: new Int32Array(rows.length).fill(prefix),
  prefixScores: new Float32Array(rows.length),
  lengths: new Int32Array(rows.length).fill(length),
  counts: new Int32Array(rows.length).fill(count),
  adapters: Int32Array.from(rows, (_, i) => (adapted ? i + 1 : 0)),
  ids: Int32Array.from({ length: rows.length * count }, (_, i) => (i * 7919) % V),
  cosines: new Float32Array((rows.length * count * D) / 2).fill(0.6),
  sines: new Float32Array((rows.length * count * D) / 2).fill(0.8),
  wanted: Uint8Array.from({ length: rows.length * count }, (_, i) => (i % count === count - 1 ? 1 : 0)),
})

/** Notes what some work took, and the processor time of the process. */
async function time(one: Case, work: () => Promise<unknown>): Promise<void> {
  const [cpu, start] = [process.cpuUsage(), performance.now()]
  await work()
  one.ms.push(performance.now() - start)
  const { user, system } = process.cpuUsage(cpu)
  one.processorMs.push((user + system) / 1e3)
}

function report(cases: readonly Case[], figure: (ms: number, p: number) => string): void {
  const [first, firstProcessor] = [spreadOf(cases[0]!.ms), spreadOf(cases[0]!.processorMs)]
  for (const { p, context, name, ms, processorMs } of cases) {
    const [wall, processor] = [spreadOf(ms), spreadOf(processorMs)]
    print(
      `${name}P ${p}${contexts.length > 1 ? `, context ${context}` : ''}: best ${wall.min.toFixed(1)} ms, median ${wall.median.toFixed(1)} ms, ${figure(wall.min, p)}, ` +
        `x${(wall.min / first.min).toFixed(2)} of the first (median x${(wall.median / first.median).toFixed(2)}); processor time ` +
        `${processor.min.toFixed(1)}, ${processor.median.toFixed(1)} ms (x${(processor.min / firstProcessor.min).toFixed(2)}, x${(processor.median / firstProcessor.median).toFixed(2)})`,
    )
  }
}

const folder = mkdtempSync(join(process.env.PARSCALE_CACHE ?? tmpdir(), 'parscale-native-bench-'))
try {
  const streamed = writeModel(join(folder, 'model'))
  const set = values.set ?? loaded.module.instructionSets()[0]!
  print(
    `${format}, ${layers} layers, ${(streamed / 1e9).toFixed(2)} GB, ${set}, ${threads} threads, context ${contexts.join(', ')}, cache ${values.cache}`,
  )
  const open = modules.map(({ name, native }) => ({
    name,
    native,
    model: native.openModel(join(folder, 'model'), threads, cacheTypes.indexOf(values.cache as CacheType), set),
  }))
  const most = Math.max(...values.p.split(',').map(Number))
  if (adapted) for (const { native, model } of open) writeAdapters(native, model, most + 1)
  const counts = values.p.split(',').map(Number)
  const cases: Case[] = contexts.flatMap((context) =>
    counts.flatMap((p) =>
      open.map(({ name, native, model }) => {
        const rows = Array.from({ length: p }, () => native.openRow(model))
        return { p, context, name, native, model, rows, ms: [], processorMs: [], hidden: new Float32Array() }
      }),
    ),
  )
  const prefill = Number(values.prefill)
  if (prefill > 0) {
    for (let turn = 0; turn < Number(values.steps); turn++) {
      for (const one of cases) {
        const chunk = Math.max(1, Math.floor(512 / one.p))
        await time(one, async () => {
          for (let at = 0; at < prefill; at += chunk)
            one.hidden = (await one.native.step(one.model, batch(one.rows, 0, at, Math.min(chunk, prefill - at)))).hidden
        })
      }
    }
    print(`prefill of ${prefill} tokens`)
    report(cases, (ms, p) => `${(((prefill * p) / ms) * 1e3).toFixed(0)} row tokens/s`)
  } else {
    // The context is written, not computed.
    for (const { context, native, model, rows } of cases) {
      const past = Float32Array.from({ length: kvHeads * context * D }, (_, i) => Math.sin(i * 0.7))
      for (const row of rows) for (let l = 0; l < layers; l++) native.writePrefix(model, row, l, past, past)
    }
    // In turns, so that what else the machine does meets all cases alike.
    for (let step = 0; step < Number(values.steps); step++) {
      for (const one of cases) {
        await time(one, async () => {
          one.hidden = (await one.native.step(one.model, batch(one.rows, one.context, 0, 1))).hidden
          await one.native.logits(one.model, one.hidden.subarray(0, H))
        })
      }
    }
    report(cases, (ms) => `${(streamed / ms / 1e6).toFixed(1)} GB/s`)
  }
  for (const { p, context, name, hidden } of cases) {
    const other = cases.find((one) => one.p === p && one.context === context)!.hidden
    if (Buffer.compare(new Uint8Array(hidden.buffer), new Uint8Array(other.buffer)) !== 0)
      throw new Error(`P ${p}: ${name}gives other bits`)
  }
  for (const { native, model } of open) native.closeModel(model)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
