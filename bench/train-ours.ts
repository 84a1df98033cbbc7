/** Our side of the bench of training: a process that takes a step for every line it reads. Arguments: case, weights, threads, engine. */
import { createInterface } from 'node:readline'
import { parseSafetensors, readF32, type StoredTensor } from '@parscale/core/internal/checkpoint'
import { GraphBuilder } from '@parscale/core/internal/graph'
import { openFileSource } from '@parscale/core/internal/node'
import { estimateTrainingMemory, stepFlops, TrainStep } from '@parscale/core/internal/training'
import { nativeRuntime } from '@parscale/native'
import { Tensor } from 'onnxruntime-common'
import { onnxRuntime } from '../packages/core/src/node/onnx-runtime.ts'
import { type Case, casePlan, tokenIds } from './train-cases.ts'

const [json, weights, threads, engine] = process.argv.slice(2) as [string, string, string, string]
const runtime = (engine === 'onnx' ? onnxRuntime : nativeRuntime)({ threads: Number(threads) })
const say = (message: object) => console.log(JSON.stringify(message))

/** The machine's rate in f32: products of 2048 x 2048 matrices, FLOP/s. */
async function matrixRate(): Promise<number> {
  const n = 2048
  const g = new GraphBuilder('matrix-rate')
  g.output(g.gemm(g.input('a', 'float32', [n, n]), g.input('b', 'float32', [n, n])), 'c')
  const session = await runtime.createSession(g.build())
  const square = () => new Tensor('float32', new Float32Array(n * n).fill(0.5), [n, n])
  const feeds = { a: square(), b: square() }
  const outputs = { c: square() }
  let best = Infinity
  for (let i = 0; i < 8; i++) {
    const started = performance.now()
    await session.run(feeds, outputs)
    best = Math.min(best, performance.now() - started)
  }
  await session.dispose()
  return (2 * n ** 3) / (best / 1e3)
}

if (json === 'rate') say({ flopsPerSecond: await matrixRate() })
else {
  const c: Case = JSON.parse(json)
  const plan = casePlan(c)
  const source = await openFileSource(weights)
  const parameters = new Map<string, Float32Array>()
  for (const tensor of (await parseSafetensors(source)).tensors) {
    parameters.set(tensor.name, await readF32(tensor as StoredTensor))
  }
  await source.close()
  const step = await TrainStep.create(runtime, plan, { parameters })
  parameters.clear()
  say({ ready: true, flops: stepFlops(plan), estimatedBytes: estimateTrainingMemory(plan, 1, runtime).total })
  let number = 0
  for await (const _ of createInterface({ input: process.stdin })) {
    const batch = { ids: tokenIds(c, ++number) }
    const started = performance.now()
    const { loss } = await step.run([batch], { learningRate: 1e-4, step: number })
    say({ ms: performance.now() - started, loss, peakBytes: process.resourceUsage().maxRSS * 1024 })
  }
  await step.dispose()
}
