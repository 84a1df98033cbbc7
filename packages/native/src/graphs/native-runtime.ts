/**
 * The Runtime over steps of our own: graphs of fixed shapes in float32 on the CPU, training's above all. Whole rows of elementwise operators are one
 * pass, products take their matrices transposed as they lie, and what a run needs is one block of memory. The same bits on any number of threads.
 */
import { availableParallelism } from 'node:os'
import { runtimeError, unsupportedError, usageError } from '@parscale/core/internal'
import { widenBfloats, widenHalves } from '@parscale/core/internal/checkpoint'
import type { ExternalData, Graph, Initializer, OpName, Value } from '@parscale/core/internal/graph'
import { openFileSource } from '@parscale/core/internal/node/disk'
import type { Runtime, Session } from '@parscale/core/internal/runtime'
import { Tensor } from 'onnxruntime-common'
import { named, parscaleError } from '../native-errors.ts'
import { nativeModule } from '../native-module.ts'
import { planArena, storagesOf, withoutUnread } from './arena.ts'
import { lower } from './lower.ts'
import { NotLowered, numbers } from './places.ts'
import { encode } from './program.ts'
import type { Step } from './steps.ts'
import { type Storage, sizeOf } from './view.ts'

export interface NativeRuntimeOptions {
  /** Default: as many as the process may use. */
  readonly threads?: number
  /**
   * Of products, by PyTorch's names. `high`, the default: where the CPU has tiles (AMX), each number as the sum of two bfloat16, which keeps
   * 16 bits of float32's 24. `highest`: float32.
   */
  readonly matmulPrecision?: 'high' | 'highest'
}

type Block = Float32Array | BigInt64Array

const mostThreads = 1024

/**
 * Sessions refuse graphs that they do not take with an unsupported error, and feeds that do not fit with a usage error. Arrays that are fed must
 * not be transferred while a run reads them.
 *
 * @throws runtime error where there is no native module
 */
export function nativeRuntime(options: NativeRuntimeOptions = {}): Runtime {
  const { threads = Math.min(availableParallelism(), mostThreads), matmulPrecision = 'high' } = options
  const loaded = nativeModule()
  if (!('module' in loaded)) throw runtimeError(loaded.reason)
  const native = loaded.module
  return {
    device: 'cpu',
    threads,
    fuses: true,
    sessionBytes(graph) {
      // Nothing is read: what lies in files counts as it will be held.
      const steps = lowered(graph, ({ data, value }) => (data instanceof Uint8Array ? heldAs(value, data) : undefined))
      const constants = graph.initializers.reduce((sum, { value }) => sum + sizeOf(value.shape as number[]) * widthOf(value), 0)
      return planArena(steps.steps).bytes + constants
    },
    async createSession(graph) {
      const { program, constants, outputs, steps } = await compile(graph)
      const lastWrites = lastWritesOf(steps, outputs)
      const exact = matmulPrecision === 'highest' ? 1 : 0
      const handle = named(() => native.createProgram(program.code, Float64Array.from(program.blocks), threads, exact))
      let running: Promise<unknown> = Promise.resolve()
      /** How long the last run took. */
      let runMs = 0
      return {
        async run(feeds, outputs = {}, whole) {
          const inputs = graph.inputs.map((input) => blockOf(graph, input, feeds[input.name]))
          const results = graph.outputs.map((output) => outputs[output.name] ?? newTensor(output))
          const blocks = [...inputs, ...graph.outputs.map((output, i) => blockOf(graph, output, results[i])), ...constants]
          const progress = whole && new Int32Array(new SharedArrayBuffer(4))
          const run = named(() => native.runProgram(handle, blocks, progress))
          running = run.catch(() => {})
          const told = (output: number) => whole!(graph.outputs[output]!.name)
          const watch = progress && watchProgress(progress, lastWrites, told, runMs)
          const begin = performance.now()
          try {
            await run
          } catch (error) {
            throw parscaleError(error)
          } finally {
            watch?.stop()
            runMs = performance.now() - begin
          }
          return Object.fromEntries(graph.outputs.map(({ name }, i) => [name, results[i]!]))
        },
        async dispose() {
          await running
          named(() => native.closeProgram(handle))
        },
      } satisfies Session
    },
  }
}

/** After how many steps each output is whole, the earliest first. */
function lastWritesOf(steps: readonly Step[], outputs: readonly Storage[]): { readonly output: number; readonly done: number }[] {
  const done = new Map<Storage, number>()
  for (const [i, step] of steps.entries()) for (const storage of storagesOf(step).writes) done.set(storage, i + 1)
  return outputs.map((storage, output) => ({ output, done: done.get(storage) ?? 0 })).sort((a, b) => a.done - b.done)
}

/** Looks now and then how far a run is, about 50 times: each look takes the engine's core for some microseconds. */
const looksOfRun = 50
const mostPauseMs = 5

function watchProgress(
  progress: Int32Array,
  lastWrites: ReturnType<typeof lastWritesOf>,
  whole: (output: number) => void,
  runMs: number,
) {
  let next = 0
  const look = () => {
    const steps = Atomics.load(progress, 0)
    for (; next < lastWrites.length && lastWrites[next]!.done <= steps; next++) whole(lastWrites[next]!.output)
  }
  const timer = setInterval(look, Math.min(mostPauseMs, Math.max(1, runMs / looksOfRun)))
  return { stop: () => clearInterval(timer) }
}

/**
 * A graph as a program, and the memory of its constants.
 *
 * @throws unsupported error naming the node that is not taken
 */
export async function compile(graph: Graph) {
  const constants = new Map<Initializer, Block>()
  for (const initializer of graph.initializers) {
    const { value, data } = initializer
    constants.set(initializer, heldAs(value, data instanceof Uint8Array ? data : await readExternal(data)))
  }
  const { steps, outputs } = lowered(graph, (initializer) => constants.get(initializer))
  const inputs = graph.inputs.map((input) => sizeOf(numbers(input)) * widthOf(input))
  const blocks = { inputs, outputs, constants: [...constants.values()].map(({ byteLength }) => byteLength) }
  return { program: encode(steps, planArena(steps), blocks), steps, outputs, constants: [...constants.values()] }
}

/** @param constantOf what an initializer holds; undefined: it is not at hand, and no step hangs on it */
function lowered(graph: Graph, constantOf: (initializer: Initializer) => Block | undefined) {
  const storages = new Map<string, Storage>()
  const values = new Map<string, number>()
  for (const [index, initializer] of graph.initializers.entries()) {
    const { value } = initializer
    const block = constantOf(initializer)
    if (block instanceof Float32Array && value.shape.length === 0) values.set(value.name, block[0]!)
    const elements = block?.length ?? sizeOf(value.shape as number[])
    storages.set(value.name, { dtype: value.dtype, elements, given: { kind: 'constant', index } })
  }
  try {
    for (const { name, dtype } of [...graph.inputs, ...graph.outputs])
      if (dtype !== 'float32' && dtype !== 'int64') throw new NotLowered(`${name} is of ${dtype}`)
    const { steps, outputs } = lower(graph as Graph<OpName>, storages, values)
    return { steps: withoutUnread(steps, outputs), outputs }
  } catch (cause) {
    if (!(cause instanceof NotLowered)) throw cause
    throw unsupportedError(`the native runtime does not take this graph: ${cause.message}`, { cause })
  }
}

/** Bytes of an element as it is held. */
const widthOf = ({ dtype }: Value): number => (dtype === 'int64' ? 8 : 4)

function newTensor(value: Value): Tensor {
  const dims = numbers(value)
  return value.dtype === 'int64'
    ? new Tensor('int64', new BigInt64Array(sizeOf(dims)), dims)
    : new Tensor('float32', new Float32Array(sizeOf(dims)), dims)
}

/** The memory of what is fed for an input, or given for an output. */
function blockOf(graph: Graph, value: Value, tensor: Tensor | undefined): Block {
  const what = `${graph.name}: ${value.name}`
  if (!tensor) throw usageError(`${what} is not fed`)
  if (tensor.type === value.dtype && `${tensor.dims}` === `${value.shape}`) return tensor.data as Block
  throw usageError(`${what} is ${tensor.type} [${tensor.dims}], expected ${value.dtype} [${value.shape}]`, {
    expected: value.shape,
    found: tensor.dims,
  })
}

/** A constant in the types that programs have: floats of 16 bits are widened. */
function heldAs(value: Value, data: Uint8Array): Block {
  // A copy begins where numbers of eight bytes may begin.
  const { buffer } = data.slice()
  switch (value.dtype) {
    case 'float32':
      return new Float32Array(buffer)
    case 'int64':
      return new BigInt64Array(buffer)
    case 'float16':
    case 'bfloat16': {
      const halves = new Uint16Array(buffer)
      const bits = new Uint32Array(halves.length)
      ;(value.dtype === 'float16' ? widenHalves : widenBfloats)(halves, bits)
      return new Float32Array(bits.buffer)
    }
    default:
      throw unsupportedError(`the native runtime has no constants of ${value.dtype} (${value.name})`)
  }
}

async function readExternal({ path, offset, byteLength }: ExternalData): Promise<Uint8Array> {
  const source = await openFileSource(path)
  try {
    return await source.read(offset, byteLength)
  } finally {
    await source.close()
  }
}
