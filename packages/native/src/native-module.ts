/** The compiled module, where there is one for this platform: prebuilt in a package of its own, or compiled here. */
import { createRequire } from 'node:module'
import { runtimeError } from '@parscale/core/internal'
import type { StepBatch, StepOutput } from '@parscale/core/internal/packed'
import { modulePaths, prebuiltPackages, toCompile } from '../scripts/prebuilt.mjs'

/** Stands for what lives on the other side of the border. */
export interface ModelHandle {
  readonly kind?: 'model'
}
export interface AggregatorHandle {
  readonly kind?: 'aggregator'
}
/** Weights that were packed in memory. */
export interface PackedHandle {
  readonly kind?: 'packed'
}
export interface ProgramHandle {
  readonly kind?: 'program'
}

/** A matrix of random weights (probe.h): its bytes, and the operations of a product of it with one row. */
export interface ProbeHandle {
  readonly kind?: 'probe'
  readonly bytes: number
  readonly operations: number
}

/** What binding.cc exports. All check what they are given; errors have a `code` (native-model.ts). */
export interface NativeModule {
  instructionSets(): string[]
  /** A better one, which the CPU could run but the system refuses. */
  refusedInstructionSet(): string | undefined
  /**
   * Packs what lies in files.
   *
   * @param header of the packed file that this would be (packed-layout.ts)
   * @param numbers threads, bytes of all, then of each tensor: where it goes, 1 for a vector, outputs, inputs, format, block size, 1 for
   *   minima; stored type, number of its file, where it begins there, rows of a head whose halves are interleaved; file and place of its scales;
   *   type of its zero points, their file and place
   * @param progress over a SharedArrayBuffer: KiB that are done; anything but 0 in the second one stops it. [2]
   * @param target a file that is there and empty; without, it is packed in memory
   */
  pack(
    files: readonly string[],
    header: Uint8Array,
    numbers: Float64Array,
    progress: Int32Array,
    target: string | undefined,
  ): Promise<PackedHandle | undefined>
  openModel(packed: string | PackedHandle, threads: number, cacheType: number, instructionSet: string): ModelHandle
  openAggregator(packed: string | PackedHandle): AggregatorHandle
  describe(model: ModelHandle): ModelFacts
  closeModel(model: ModelHandle): void
  cacheBytes(model: ModelHandle): number
  openRow(model: ModelHandle): number
  closeRow(model: ModelHandle, row: number): void
  copyRows(model: ModelHandle, targets: Int32Array, sources: Int32Array): void
  writePrefix(model: ModelHandle, row: number, layer: number, key: Float32Array, value: Float32Array): void
  openAdapters(model: ModelHandle, count: number, rank: number): void
  writeAdapters(model: ModelHandle, kind: number, layer: number, part: number, values: Float32Array): void
  step(model: ModelHandle, batch: StepBatch): Promise<StepOutput>
  /** @param room over a SharedArrayBuffer: the result is written to its beginning, and it is what comes back */
  logits(model: ModelHandle, hidden: Float32Array, room?: Float32Array): Promise<Float32Array>
  /** Beside the logits of each row the largest and the sum of e^(x - largest); NaN both where one is not finite. [N, 2] */
  logits(
    model: ModelHandle,
    hidden: Float32Array,
    room: Float32Array | undefined,
    powers: true,
  ): Promise<{ logits: Float32Array; powers: Float64Array }>
  aggregate(
    model: ModelHandle,
    aggregator: AggregatorHandle,
    streams: Float32Array,
  ): Promise<{ hidden: Float32Array; weights: Float32Array }>
  createProbe(threads: number, bits: 32 | 8 | 4, bytes: number): ProbeHandle
  /** Multiplies so many rows with the matrix, on this thread and others: seconds. */
  runProbe(probe: ProbeHandle, rows: number): number
  closeProbe(probe: ProbeHandle): void
  watchInterrupts(): void
  forgetInterrupt(): void
  /** @param exact 1: products in float32 throughout */
  createProgram(code: Float64Array, blockBytes: Float64Array, threads: number, exact: 0 | 1): ProgramHandle
  closeProgram(program: ProgramHandle): void
  /** Processor time of each step since the last call, in seconds; the first call begins to measure. For benches. */
  measureProgram(program: ProgramHandle): number[]
  /** Runs off JavaScript's thread. The arrays must not be transferred before it has ended. */
  /** @param progress one number: how many of the program's steps are done, to be read by Atomics while it runs */
  runProgram(program: ProgramHandle, blocks: readonly (Float32Array | BigInt64Array)[], progress?: Int32Array): Promise<void>
}

export interface ModelFacts {
  readonly instructionSet: string
  readonly threads: number
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly layers: number
  readonly kvHeads: number
  readonly headDim: number
  /** Of one position of one row, keys and values of all layers. */
  readonly positionBytes: number
}

export type Loaded = { readonly module: NativeModule } | { readonly reason: string }

let loaded: Loaded | undefined

/** The module, or in one line why there is none. Looks once. */
export function nativeModule(): Loaded {
  loaded ??= load(modulePaths())
  return loaded
}

/** The first that loads. */
function load(paths: readonly string[]): Loaded {
  const reasons: string[] = []
  for (const path of paths) {
    try {
      return { module: createRequire(import.meta.url)(path) as NativeModule }
    } catch (error) {
      reasons.push((error as Error).message.split('\n')[0]!)
    }
  }
  if (reasons.length > 0) return { reason: `the native module does not load: ${reasons.join('; ')}` }
  const prebuilt = prebuiltPackages.length > 0 ? `${prebuiltPackages[0]} is not installed` : 'none is prebuilt'
  return {
    reason: `no native module for ${process.platform}-${process.arch}: ${prebuilt} and none was compiled; install a C++ compiler (g++), then: ${toCompile}`,
  }
}

/** @throws runtime error where there is no native module */
export function requireModule(): NativeModule {
  const loaded = nativeModule()
  if ('module' in loaded) return loaded.module
  throw runtimeError(`${loaded.reason}; use --engine onnx`)
}
