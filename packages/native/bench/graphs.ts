/**
 * Where a training step's processor time goes: by kind of step of the native program, for tiny models, on one thread.
 *
 *     npx tsx --conditions=source packages/native/bench/graphs.ts --shapes 32,64 --p 1,4 --streams scales --top 12
 *     npx tsx --conditions=source packages/native/bench/graphs.ts --shapes 1M --p 1,4 --streams prefix
 */
import { parseArgs } from 'node:util'
import { createRandom } from '@parscale/core/internal'
import type { Graph } from '@parscale/core/internal/graph'
import {
  backboneParameters,
  type ModelConfig,
  parscaleConfig,
  plainFeatures,
  type StreamInput,
  streamParameters,
} from '@parscale/core/internal/model'
import { gradientGraph, lossFeeds, stepFlops, type TrainPlan, updateGraph } from '@parscale/core/internal/training'
import { compile } from '../src/graphs/native-runtime.ts'
import type { Step } from '../src/graphs/steps.ts'
import { sizeOf } from '../src/graphs/view.ts'
import { nativeModule } from '../src/native-module.ts'

const { values: flags } = parseArgs({
  options: {
    shapes: { type: 'string', default: '32,64,128,256' },
    p: { type: 'string', default: '1,4' },
    streams: { type: 'string', default: 'scales' },
    top: { type: 'string', default: '0' },
    steps: { type: 'string', default: '20' },
    sequences: { type: 'string' },
  },
})

/** Hidden size, layers, intermediate size, vocabulary, B, T. */
const shapes: Readonly<Record<string, readonly [number, number, number, number, number, number]>> = {
  32: [32, 3, 96, 260, 32, 64],
  64: [64, 3, 170, 260, 32, 64],
  128: [128, 3, 340, 260, 16, 128],
  256: [256, 6, 682, 260, 16, 128],
  // As in bench/train-cases.ts.
  '1M': [128, 4, 384, 1024, 8, 256],
}

function planOf(shape: string, P: number): TrainPlan {
  const [hiddenSize, layers, intermediateSize, vocabSize, usual, tokens] = shapes[shape]!
  const sequences = Number(flags.sequences ?? usual)
  const config: ModelConfig = {
    modelType: 'qwen2_parscale',
    vocabSize,
    hiddenSize,
    intermediateSize,
    numHiddenLayers: layers,
    numAttentionHeads: 2,
    numKeyValueHeads: 2,
    headDim: hiddenSize / 2,
    rmsNormEps: 1e-6,
    ropeTheta: 10_000,
    ropeScaling: { type: 'default' },
    maxPositionEmbeddings: tokens,
    tieWordEmbeddings: true,
    attentionBias: { qkv: true, o: false },
    mlpBias: false,
    qkNorm: false,
    slidingWindows: new Array<null>(layers).fill(null),
    features: plainFeatures,
    bosTokenId: null,
    eosTokenIds: [],
    parscale: parscaleConfig({ n: P, ...(P > 1 ? { input: flags.streams.split(',') as StreamInput[] } : {}) }),
    raw: {},
  }
  return {
    config,
    tied: true,
    trainable: [...backboneParameters(config, true), ...streamParameters(config)],
    frozen: (name) => {
      throw new Error(`${name}: everything is trained`)
    },
    shape: { sequences, tokens },
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
  }
}

/** What one line of the answer is about. */
function nameOf(step: Step): string {
  switch (step.kind) {
    case 'product': {
      const [M, N] = step.c.dims.slice(-2)
      const lies = ({ strides }: { strides: readonly number[] }) => (strides.at(-1) === 1 ? '' : "'")
      const bias = step.bias ? ' + bias' : ''
      return `product ${step.c.dims.slice(0, -2).join('x')} [${M} ${step.a.dims.at(-1)} ${N}]${lies(step.a)}${lies(step.b)}${bias}`
    }
    case 'rows':
      return `rows [${step.rows} ${step.columns}] ${step.registers.map(({ kind, from, storage }) => `${from.op === 'load' ? `load${from.what}` : from.op}${kind === 'row' ? '.' : ''}${storage ? '!' : ''}`).join(' ')}${step.columnSums.map(() => ' columnSum').join('')}`
    case 'copy':
      return `copy [${step.from.dims}] ${step.from.strides} to ${step.to.strides}`
    case 'reduce':
      return `reduce [${step.from.dims}] ${step.from.strides} to ${step.out.strides}`
    default:
      return step.kind
  }
}

const print = (line: string) => process.stdout.write(`${line}\n`)
const loaded = nativeModule()
if (!('module' in loaded)) throw new Error(loaded.reason)
const native = loaded.module
const random = createRandom(1)

async function measure(graph: Graph, given: Readonly<Record<string, { readonly data: unknown }>>) {
  const { program, steps, constants } = await compile(graph)
  const handle = native.createProgram(program.code, Float64Array.from(program.blocks), 1, 0)
  type Block = Float32Array | BigInt64Array
  const room = ({ shape, dtype }: Graph['inputs'][number]): Block => {
    const size = (shape as number[]).reduce((a, b) => a * b, 1)
    return dtype === 'int64' ? new BigInt64Array(size) : Float32Array.from({ length: size }, () => 0.1 * random.normal())
  }
  const blocks = [
    ...graph.inputs.map((input) => (given[input.name]?.data as Block | undefined) ?? room(input)),
    ...graph.outputs.map(room),
    ...constants,
  ]
  const run = async (times: number) => {
    for (let i = 0; i < times; i++) await native.runProgram(handle, blocks)
  }
  await run(3)
  native.measureProgram(handle)
  const count = Number(flags.steps)
  const before = process.cpuUsage()
  await run(count)
  const { user, system } = process.cpuUsage(before)
  const seconds = native.measureProgram(handle).map((s) => s / count)
  native.closeProgram(handle)
  return { ms: (user + system) / 1e3 / count, steps, seconds, arena: program.blocks[0]! }
}

for (const shape of flags.shapes.split(',')) {
  let one: number | undefined
  for (const P of flags.p.split(',').map(Number)) {
    const plan = planOf(shape, P)
    const { sequences: B, tokens: T } = plan.shape
    const ids = Int32Array.from({ length: B * (T + 1) }, () => random.below(plan.config.vocabSize))
    const gradient = await measure(gradientGraph(plan), lossFeeds(plan)([{ ids }])[0]!)
    const update = await measure(updateGraph(plan), {})
    const ms = gradient.ms + update.ms
    if (P === 1) one = ms
    const growth = one && P > 1 ? `, ${(ms / one).toFixed(2)} x P=1` : ''
    const kinds = new Map<string, number>()
    const lines = new Map<string, { ms: number; times: number; flops: number }>()
    for (const [i, step] of gradient.steps.entries()) {
      const ms = gradient.seconds[i]! * 1e3
      kinds.set(step.kind, (kinds.get(step.kind) ?? 0) + ms)
      const line = lines.get(nameOf(step)) ?? { ms: 0, times: 0, flops: 0 }
      const flops = step.kind === 'product' ? 2 * sizeOf(step.c.dims) * step.a.dims.at(-1)! : 0
      lines.set(nameOf(step), { ms: line.ms + ms, times: line.times + 1, flops: line.flops + flops })
    }
    const share = [...kinds].sort((a, b) => b[1] - a[1]).map(([kind, ms]) => `${kind} ${ms.toFixed(1)}`)
    print(
      `${shape} P=${P}: ${ms.toFixed(1)} ms (update ${update.ms.toFixed(2)}), ${((B * T) / ms).toFixed(1)} k tok/s, ` +
        `${(stepFlops(plan) / ms / 1e6).toFixed(0)} GFLOP/s${growth}; ${gradient.steps.length} steps, arena ${(gradient.arena / 1e6).toFixed(0)} MB: ${share.join(', ')}`,
    )
    const sorted = [...lines].sort((a, b) => b[1].ms - a[1].ms).slice(0, Number(flags.top))
    for (const [name, { ms, times, flops }] of sorted)
      print(`  ${ms.toFixed(2)} ms ${times} x ${name}${flops ? `: ${(flops / ms / 1e6).toFixed(0)} GFLOP/s` : ''}`)
  }
}
