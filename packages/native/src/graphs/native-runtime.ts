/**
 * The Runtime over steps of our own: graphs of fixed shapes in float32 on the CPU, training's above all. Whole rows of elementwise operators are one
 * pass, products take their matrices transposed as they lie, and what a run needs is one block of memory. The same bits on any number of threads.
 */
import { availableParallelism } from 'node:os'
import { runtimeError, unsupportedError, usageError } from '@parscale/core/internal'
import type { ExternalData, Graph, Initializer, OpName } from '@parscale/core/internal/graph'
import { openFileSource } from '@parscale/core/internal/node/disk'
import type { Runtime, Session } from '@parscale/core/internal/runtime'
import { Tensor } from 'onnxruntime-common'
import { nativeModule } from '../native-module.ts'
import { planArena, withoutUnread } from './arena.ts'
import { lower } from './lower.ts'
import { encode } from './program.ts'
import type { Storage } from './view.ts'

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

/** @throws runtime error where there is no native module */
export function nativeRuntime(options: NativeRuntimeOptions = {}): Runtime {
  const { threads = availableParallelism(), matmulPrecision = 'high' } = options
  const loaded = nativeModule()
  if (!('module' in loaded)) throw runtimeError(loaded.reason)
  const native = loaded.module
  return {
    device: 'cpu',
    threads,
    fuses: true,
    async createSession(graph) {
      const { program, constants } = await compile(graph)
      const handle = native.createProgram(
        program.code,
        Float64Array.from(program.blocks),
        threads,
        matmulPrecision === 'highest' ? 1 : 0,
      )
      return session(
        graph,
        async (inputs, outputs) => native.runProgram(handle, [...inputs, ...outputs, ...constants]),
        () => native.closeProgram(handle),
      )
    },
  }
}

/** A graph as a program, and the memory of its constants. */
export async function compile(graph: Graph) {
  const constants: Block[] = []
  const storages = new Map<string, Storage>()
  const values = new Map<string, number>()
  for (const initializer of graph.initializers) {
    const { value } = initializer
    const block = await constantOf(initializer)
    if (block instanceof Float32Array && block.length === 1 && value.shape.length === 0) values.set(value.name, block[0]!)
    storages.set(value.name, { dtype: value.dtype, elements: block.length, given: { kind: 'constant', index: constants.length } })
    constants.push(block)
  }
  try {
    const lowered = lower(graph as Graph<OpName>, storages, values)
    const steps = withoutUnread(lowered.steps, lowered.outputs)
    const inputs = graph.inputs.map(({ dtype, shape }) =>
      (shape as number[]).reduce((n, dim) => n * dim, dtype === 'int64' ? 8 : 4),
    )
    const blocks = { inputs, outputs: lowered.outputs, constants: constants.map(({ byteLength }) => byteLength) }
    return { program: encode(steps, planArena(steps), blocks), steps, constants }
  } catch (cause) {
    throw unsupportedError(`the native runtime does not take this graph: ${(cause as Error).message}`, { cause })
  }
}

function session(
  graph: Graph,
  run: (inputs: readonly Block[], outputs: readonly Block[]) => Promise<void>,
  close: () => void,
): Session {
  const sizes = graph.outputs.map(({ shape }) => (shape as number[]).reduce((n, dim) => n * dim, 1))
  return {
    async run(feeds, outputs = {}) {
      const inputs = graph.inputs.map(({ name, dtype }) => {
        const feed = feeds[name]
        if (!feed) throw usageError(`${graph.name}: input ${name} is not fed`)
        if (feed.type !== dtype) throw usageError(`${graph.name}: input ${name} is ${feed.type}, expected ${dtype}`)
        return feed.data as Block
      })
      const results = graph.outputs.map(({ name, shape }, i) => {
        return outputs[name] ?? new Tensor('float32', new Float32Array(sizes[i]!), shape as number[])
      })
      await run(
        inputs,
        results.map(({ data }) => data as Block),
      )
      return Object.fromEntries(graph.outputs.map(({ name }, i) => [name, results[i]!]))
    },
    async dispose() {
      close()
    },
  }
}

async function constantOf({ value, data }: Initializer): Promise<Block> {
  // A copy begins where numbers of eight bytes may begin.
  const { buffer } = data instanceof Uint8Array ? data.slice() : await readExternal(data)
  switch (value.dtype) {
    case 'float32':
      return new Float32Array(buffer)
    case 'int64':
      return new BigInt64Array(buffer)
    default:
      throw unsupportedError(`the native runtime has no constants of ${value.dtype} (${value.name})`)
  }
}

async function readExternal({ path, offset, byteLength }: ExternalData): Promise<Uint8Array<ArrayBuffer>> {
  const source = await openFileSource(path)
  try {
    return (await source.read(offset, byteLength)).slice()
  } finally {
    await source.close()
  }
}
