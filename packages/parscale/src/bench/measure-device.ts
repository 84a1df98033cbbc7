/**
 * This machine as a device: how fast it reads memory and its last cache, and the rate of matrix products in float32 and in few bits, by the native
 * step's kernels or, where there is no native module, by ONNX Runtime's operators. In float32 either may be faster. What decoding and prefill
 * reach at best.
 */
import { availableParallelism, totalmem } from 'node:os'
import { type Device, deviceNamed } from '@parscale/core/internal/cost'
import { type Graph, GraphBuilder, type Value } from '@parscale/core/internal/graph'
import { onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import type { Runtime } from '@parscale/core/internal/runtime'
import { Tensor } from 'onnxruntime-common'
import { availableMemoryBytes } from '../load/memory.ts'
import type { Io } from '../terminal/io.ts'
import { assumedCacheBytes, lastCacheBytes } from './last-cache.ts'

const columns = 8192
/** So many times the last cache is read from memory, whatever of it the cache keeps; and no less than this, in bytes. */
const cachesRead = 4
const leastBytes = 128 * 2 ** 20
/** Large enough that reading the operands does not matter: 2.1 GFLOP on 12 MiB. */
const product = { rows: 1024, inner: 1024, columns: 1024 }
/** As quantised checkpoints have it. */
const blockSize = 128
/** Each is repeated for so long and the best run counts: others on the machine can only slow it down. */
const measureMs = 800

/** A device of the table by its name, or this machine, measured now. */
export async function chooseDevice(name: string, io: Io): Promise<Device> {
  if (name !== 'this-machine') return deviceNamed(name)
  io.stderr('measuring bandwidth and matrix products of this machine\n')
  return measureDevice(onnxRuntime(), io.signal)
}

/** Takes about six seconds. */
export async function measureDevice(runtime: Runtime, signal: AbortSignal): Promise<Device> {
  const cacheBytes = (await lastCacheBytes()) ?? assumedCacheBytes
  const bytes = bytesToRead(cacheBytes, availableMemoryBytes())
  const native = await measureNative(runtime.threads ?? availableParallelism(), bytes, cacheBytes, signal)
  const { bytesPerSecond, int8OpsPerSecond } = native ?? (await measureEngine(runtime, bytes, signal))
  const mebibytes = Math.round(bytes / 2 ** 20)
  return {
    name: 'this-machine',
    title: `this machine (${runtime.device}${runtime.threads === undefined ? '' : `, ${runtime.threads} threads`})`,
    kind: 'measured',
    memoryBytes: totalmem(),
    bytesPerSecond,
    ...(native ? { cacheBytes, cacheBytesPerSecond: Math.max(native.cacheBytesPerSecond, bytesPerSecond) } : {}),
    flopsPerSecond: Math.max(await engineFlops(runtime, signal), native?.flopsPerSecond ?? 0),
    int8OpsPerSecond,
    source: native
      ? `measured now, by the native step's kernels: ${mebibytes} MiB read from memory, and as much as half of the last cache holds ` +
        `(${Math.round(cacheBytes / 2 ** 20)} MiB); products with weights of few bits, and in float32 also by ONNX Runtime`
      : `measured now, by ONNX Runtime: ${mebibytes} MiB read from memory; products in float32 and with weights of few bits`,
  }
}

/** Beyond the last cache, as far as a quarter of the free memory goes. */
export const bytesToRead = (cacheBytes: number, freeBytes: number): number =>
  Math.min(Math.max(cachesRead * cacheBytes, leastBytes), Math.max(leastBytes, Math.floor(freeBytes / 4)))

const productOperations = 2 * product.rows * product.inner * product.columns

async function engineFlops(runtime: Runtime, signal: AbortSignal): Promise<number> {
  const float = floatProduct(ones(product.rows, product.inner), ones(product.inner, product.columns))
  return productOperations / (await fastestSeconds(runtime, float, signal))
}

async function measureEngine(
  runtime: Runtime,
  bytes: number,
  signal: AbortSignal,
): Promise<{ bytesPerSecond: number; int8OpsPerSecond: number }> {
  const seconds = (work: Work) => fastestSeconds(runtime, work, signal)
  const rows = Math.ceil(bytes / (4 * columns))
  const table = ones(rows, columns)
  // A sum of rows needs next to no arithmetic; a vector times a matrix is what decoding does. Which is faster depends on the machine.
  const read = Math.min(await seconds(sumOfRows(table)), await seconds(floatProduct(ones(1, rows), table)))
  return {
    bytesPerSecond: (4 * rows * columns) / read,
    int8OpsPerSecond: productOperations / (await seconds(quantisedProduct())),
  }
}

interface NativeSpeeds {
  readonly bytesPerSecond: number
  readonly cacheBytesPerSecond: number
  readonly flopsPerSecond: number
  readonly int8OpsPerSecond: number
}

/** Rows of a product that the weights' way from memory does not matter to. */
const manyRows = 512
const [largeMatrix, smallMatrix] = [24 * 2 ** 20, 6 * 2 ** 20]

/** By the kernels that decode; undefined where there is no native module. */
async function measureNative(
  threads: number,
  bytes: number,
  cacheBytes: number,
  signal: AbortSignal,
): Promise<NativeSpeeds | undefined> {
  const loaded = await import('@parscale/native').then(
    ({ nativeModule }) => nativeModule(),
    () => undefined,
  )
  if (!loaded || !('module' in loaded)) return undefined
  const { module } = loaded
  /** Bytes and operations a second, of the fastest of several products. */
  const measured = async (bits: 32 | 8 | 4, matrixBytes: number, rows: number) => {
    const probe = module.createProbe(threads, bits, matrixBytes)
    try {
      let fastest = Infinity
      module.runProbe(probe, rows) // warms up: pages and threads
      for (const end = performance.now() + measureMs; performance.now() < end; ) {
        // So that Ctrl-C is heard.
        await new Promise((resolve) => setImmediate(resolve))
        signal.throwIfAborted()
        fastest = Math.min(fastest, module.runProbe(probe, rows))
      }
      return { bytesPerSecond: probe.bytes / fastest, opsPerSecond: (probe.operations * rows) / fastest }
    } finally {
      module.closeProbe(probe)
    }
  }
  const reads = [await measured(8, bytes, 1), await measured(32, bytes, 1)]
  return {
    bytesPerSecond: Math.max(...reads.map(({ bytesPerSecond }) => bytesPerSecond)),
    cacheBytesPerSecond: (await measured(8, cacheBytes / 2, 1)).bytesPerSecond,
    flopsPerSecond: (await measured(32, largeMatrix, manyRows / 4)).opsPerSecond,
    int8OpsPerSecond: Math.max(
      (await measured(8, smallMatrix, manyRows)).opsPerSecond,
      (await measured(4, smallMatrix, manyRows)).opsPerSecond,
    ),
  }
}

interface Work {
  readonly graph: Graph
  readonly feeds: Readonly<Record<string, Tensor>>
}

function sumOfRows(table: Tensor): Work {
  const graph = new GraphBuilder('sum-of-rows')
  graph.output(graph.reduceSum(graph.input('table', 'float32', table.dims), [1]), 'sums')
  return { graph: graph.build(), feeds: { table } }
}

function floatProduct(a: Tensor, b: Tensor): Work {
  const graph = new GraphBuilder('float-product')
  graph.output(graph.matMul(graph.input('a', 'float32', a.dims), graph.input('b', 'float32', b.dims)), 'c')
  return { graph: graph.build(), feeds: { a, b } }
}

/** The engine packs a quantised matrix at load, so it must be a constant; this one is small enough to lie in the graph itself. */
function quantisedProduct(): Work {
  const { rows, inner, columns } = product
  const graph = new GraphBuilder('quantised-product')
  const blocks = inner / blockSize
  const bytes = new Map<Value, Uint8Array>()
  const constant = (name: string, dtype: 'uint8' | 'float32', shape: readonly number[], content: Uint8Array) => {
    const value = graph.weight(name, dtype, shape, { path: '', offset: 0, byteLength: content.byteLength })
    bytes.set(value, content)
    return value
  }
  const data = constant('data', 'uint8', [columns, blocks, blockSize], new Uint8Array(columns * inner).fill(129))
  const scales = constant(
    'scales',
    'float32',
    [columns, blocks],
    new Uint8Array(new Float32Array(columns * blocks).fill(1).buffer),
  )
  const a = graph.input('a', 'float32', [rows, inner])
  graph.output(graph.quantisedLinear(a, { bits: 8, blockSize, data, scales }, { accuracyLevel: 4 }), 'c')
  const built = graph.build()
  const initializers = built.initializers.map((one) => ({ ...one, data: bytes.get(one.value) ?? one.data }))
  return { graph: { ...built, initializers }, feeds: { a: ones(rows, inner) } }
}

const ones = (rows: number, columns: number) => new Tensor('float32', new Float32Array(rows * columns).fill(1), [rows, columns])

async function fastestSeconds(runtime: Runtime, { graph, feeds }: Work, signal: AbortSignal): Promise<number> {
  const session = await runtime.createSession(graph)
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
