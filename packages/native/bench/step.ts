/**
 * What a step costs, from the packed file up: a model with random weights (the 1.6B of the paper unless --layers says fewer),
 * ms per token for P rows of one sequence, and the weights' bytes per second against what this machine reads at best.
 *
 *   npx tsx --conditions=source packages/native/bench/step.ts [--bits 8] [--layers 36] [--context 256] [--p 1,8,16] [--threads 2]
 *     [--cache int8] [--prefill 512] [--set avx2] [--steps 8]
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { spreadOf } from '@parscale/core/internal'
import type { ModelConfig } from '@parscale/core/internal/model'
import { type CacheType, NativeModel } from '../src/index.ts'
import { type Layout, lanes, planFile, type Role, recordBytes, tensorBytes } from '../src/packed-layout.ts'

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
    set: { type: 'string' },
  },
})
const print = (line: string) => process.stdout.write(`${line}\n`)
const [bits, blockSize, layers, context, threads] = [
  values.bits,
  values.block,
  values.layers,
  values.context,
  values.threads,
].map(Number) as [number, number, number, number, number]
const [H, I, heads, kvHeads, D, V] = [1536, 8320, 16, 2, 96, 151936]

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

const folder = mkdtempSync(join(process.env.PARSCALE_CACHE ?? tmpdir(), 'parscale-native-bench-'))
try {
  const streamed = writeModel(join(folder, 'model'))
  const model = new NativeModel(join(folder, 'model'), {
    threads,
    cacheType: values.cache as CacheType,
    ...(values.set ? { instructionSet: values.set } : {}),
  })
  print(
    `${format}, ${layers} layers, ${(streamed / 1e9).toFixed(2)} GB, ${model.facts.instructionSet}, ${threads} threads, context ${context}, cache ${values.cache}`,
  )
  const cases = values.p
    .split(',')
    .map(Number)
    .map((p) => ({ p, rows: model.openRows(p), ms: [] as number[] }))
  const batch = (rows: readonly number[], prefix: number, length: number, count: number) => ({
    rows: Int32Array.from(rows),
    prefixes: new Int32Array(rows.length).fill(prefix),
    prefixScores: new Float32Array(rows.length),
    lengths: new Int32Array(rows.length).fill(length),
    counts: new Int32Array(rows.length).fill(count),
    adapters: new Int32Array(rows.length),
    ids: Int32Array.from({ length: rows.length * count }, (_, i) => (i * 7919) % V),
    cosines: new Float32Array((rows.length * count * D) / 2).fill(0.6),
    sines: new Float32Array((rows.length * count * D) / 2).fill(0.8),
    wanted: Uint8Array.from({ length: rows.length * count }, (_, i) => (i % count === count - 1 ? 1 : 0)),
  })
  const prefill = Number(values.prefill)
  for (const { p, rows } of prefill > 0 ? cases : []) {
    const start = performance.now()
    const chunk = Math.max(1, Math.floor(512 / p))
    for (let at = 0; at < prefill; at += chunk) await model.run(batch(rows, 0, at, Math.min(chunk, prefill - at)))
    const ms = performance.now() - start
    print(`P ${p}: prefill of ${prefill} tokens ${ms.toFixed(0)} ms, ${(((prefill * p) / ms) * 1e3).toFixed(0)} row tokens/s`)
  }
  // The context is written, not computed.
  const past = Float32Array.from({ length: kvHeads * context * D }, (_, i) => Math.sin(i * 0.7))
  for (const row of cases.flatMap(({ rows }) => rows)) for (let l = 0; l < layers; l++) model.writePrefix(row, l, past, past)
  // In turns, so that what else the machine does meets all cases alike.
  for (let step = 0; step < Number(values.steps); step++) {
    for (const { rows, ms } of cases) {
      const start = performance.now()
      const { hidden } = await model.run(batch(rows, context, 0, 1))
      await model.logits(hidden.subarray(0, H))
      ms.push(performance.now() - start)
    }
  }
  const first = spreadOf(cases[0]!.ms)
  for (const { p, ms } of cases) {
    const { min, median } = spreadOf(ms)
    print(
      `P ${p}: best ${min.toFixed(1)} ms, median ${median.toFixed(1)} ms, ${(streamed / min / 1e6).toFixed(1)} GB/s, x${(min / first.min).toFixed(2)} of P ${cases[0]!.p} (median x${(median / first.median).toFixed(2)})`,
    )
  }
  await model.dispose()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
