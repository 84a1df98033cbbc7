/**
 * This machine as a device: the bandwidth of a matrix-vector product and the FLOP/s of a matrix product, in float32, by the engine
 * that would run the model. What decoding and prefill reach at best.
 */
import { totalmem } from 'node:os'
import { type Device, deviceNamed } from '@parscale/core/cost'
import { GraphBuilder } from '@parscale/core/graph'
import type { Runtime } from '@parscale/core/runtime'
import { Tensor } from 'onnxruntime-common'
import type { Io } from '../io.ts'
import { onnxRuntime } from '../onnx-runtime.ts'

/** Far larger than any cache, so that every run reads it from memory: 128 MiB. */
const matvec = { rows: 1, inner: 4096, columns: 8192 }
/** Large enough that reading the operands does not matter: 2.1 GFLOP on 12 MiB. */
const matmul = { rows: 1024, inner: 1024, columns: 1024 }
/** Each is repeated for so long and the best run counts: others on the machine can only slow it down. */
const measureMs = 800

/** A device of the table by its name, or this machine, measured now. */
export async function chooseDevice(name: string, io: Io): Promise<Device> {
  if (name !== 'this-machine') return deviceNamed(name)
  io.stderr('measuring bandwidth and FLOP/s of this machine\n')
  return measureDevice(onnxRuntime(), io.signal)
}

/** Takes about two seconds. Precision is float32: a cost at `weightBits` 32 uses these numbers as they are. */
async function measureDevice(runtime: Runtime, signal: AbortSignal): Promise<Device> {
  const product = await fastestSeconds(runtime, matmul, signal)
  const stream = await fastestSeconds(runtime, matvec, signal)
  return {
    name: 'this-machine',
    title: `this machine (${runtime.device})`,
    kind: 'measured',
    memoryBytes: totalmem(),
    bytesPerSecond: (4 * matvec.inner * matvec.columns) / stream,
    flopsPerSecond: (2 * matmul.rows * matmul.inner * matmul.columns) / product,
    source: `measured now with ONNX Runtime in float32: product of ${matmul.rows} x ${matmul.inner} x ${matmul.columns}; vector times ${matvec.inner} x ${matvec.columns}`,
  }
}

async function fastestSeconds(runtime: Runtime, { rows, inner, columns }: typeof matmul, signal: AbortSignal): Promise<number> {
  const graph = new GraphBuilder('measure')
  const a = graph.input('a', 'float32', [rows, inner])
  const b = graph.input('b', 'float32', [inner, columns])
  graph.output(graph.matMul(a, b), 'c')
  const session = await runtime.createSession(graph.build())
  const ones = (first: number, second: number) => new Tensor('float32', new Float32Array(first * second).fill(1), [first, second])
  const feeds = { a: ones(rows, inner), b: ones(inner, columns) }
  try {
    let fastestMs = Infinity
    await session.run(feeds) // warms up: the first run allocates
    for (const end = performance.now() + measureMs; performance.now() < end; ) {
      signal.throwIfAborted()
      const start = performance.now()
      await session.run(feeds)
      fastestMs = Math.min(fastestMs, performance.now() - start)
    }
    return fastestMs / 1e3
  } finally {
    await session.dispose()
  }
}
