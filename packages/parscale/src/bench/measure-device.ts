/**
 * This machine as a device: how fast it reads memory, and the rate of matrix products in float32 and in 8 bits, by the engine
 * that would run the model. What decoding and prefill reach at best.
 */
import { totalmem } from 'node:os'
import { type Device, deviceNamed } from '@parscale/core/internal/cost'
import { type Graph, GraphBuilder, type Value } from '@parscale/core/internal/graph'
import { onnxRuntime } from '@parscale/core/internal/node/onnx-runtime'
import type { Runtime } from '@parscale/core/internal/runtime'
import { Tensor } from 'onnxruntime-common'
import type { Io } from '../terminal/io.ts'

/** Far larger than any cache, so that every run reads it from memory: 128 MiB. */
const table = { rows: 4096, columns: 8192 }
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

/** Takes about four seconds. */
export async function measureDevice(runtime: Runtime, signal: AbortSignal): Promise<Device> {
  const seconds = (work: Work) => fastestSeconds(runtime, work, signal)
  // A sum of rows needs next to no arithmetic; a vector times a matrix is what decoding does. Which is faster depends on the machine.
  const read = Math.min(await seconds(sumOfRows()), await seconds(vectorTimesMatrix()))
  const operations = 2 * product.rows * product.inner * product.columns
  const sizes = `${product.rows} x ${product.inner} x ${product.columns}`
  return {
    name: 'this-machine',
    title: `this machine (${runtime.device}${runtime.threads === undefined ? '' : `, ${runtime.threads} threads`})`,
    kind: 'measured',
    memoryBytes: totalmem(),
    bytesPerSecond: (4 * table.rows * table.columns) / read,
    flopsPerSecond: operations / (await seconds(floatProduct())),
    int8OpsPerSecond: operations / (await seconds(quantisedProduct())),
    source: `measured now with ONNX Runtime: the faster of summing and multiplying ${table.rows} x ${table.columns} numbers; products of ${sizes} in float32, and with a matrix of 8 bits in blocks of ${blockSize}`,
  }
}

interface Work {
  readonly graph: Graph
  readonly feeds: Readonly<Record<string, Tensor>>
}

function sumOfRows(): Work {
  const graph = new GraphBuilder('sum-of-rows')
  graph.output(graph.reduceSum(graph.input('table', 'float32', [table.rows, table.columns]), [1]), 'sums')
  return { graph: graph.build(), feeds: { table: ones(table.rows, table.columns) } }
}

const vectorTimesMatrix = (): Work => floatProduct({ rows: 1, inner: table.rows, columns: table.columns })

function floatProduct({ rows, inner, columns } = product): Work {
  const graph = new GraphBuilder('float-product')
  const [a, b] = [graph.input('a', 'float32', [rows, inner]), graph.input('b', 'float32', [inner, columns])]
  graph.output(graph.matMul(a, b), 'c')
  return { graph: graph.build(), feeds: { a: ones(rows, inner), b: ones(inner, columns) } }
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
