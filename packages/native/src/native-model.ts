/**
 * A packed model that steps rows of tokens on the CPU, off JavaScript's thread. Knows nothing of streams, text or sampling: its
 * callers say which rows go on with which tokens, and what is in front of them.
 *
 * A row's numbers are bit-identical whoever shares its step, whatever the chunks of its prefill, the thread count or the CPU.
 */
import { availableParallelism } from 'node:os'
import { toNamespacedPath } from 'node:path'
import { type AdapterKind, adapterKinds, type StepBatch, type StepOutput } from '@parscale/core/internal/packed'
import type { NormalisedLogits } from '@parscale/core/internal/runtime'
import { named, parscaleError } from './native-errors.ts'
import {
  type AggregatorHandle,
  type ModelFacts,
  type ModelHandle,
  type NativeModule,
  nativeModule,
  type PackedHandle,
  requireModule,
} from './native-module.ts'

/** How keys and values are kept: int8 has a scale per head and position. */
export const cacheTypes = ['float32', 'float16', 'int8'] as const
export type CacheType = (typeof cacheTypes)[number]

export interface NativeModelOptions {
  /** Threads of a step. Default: as many as the process may use. */
  readonly threads?: number
  /** Default: float32. */
  readonly cacheType?: CacheType
  /** One of `instructionSets()`. Default: the first, which is the best that this CPU has. */
  readonly instructionSet?: string
}

/** What this CPU can run, best first; empty where there is no native module. */
export function instructionSets(): string[] {
  const loaded = nativeModule()
  return 'module' in loaded ? loaded.module.instructionSets() : []
}

/** A better one than those, which the CPU has but the system does not let this process use. */
export function refusedInstructionSet(): string | undefined {
  const loaded = nativeModule()
  return 'module' in loaded ? loaded.module.refusedInstructionSet() : undefined
}

export class NativeModel {
  readonly facts: ModelFacts
  readonly #native: NativeModule
  readonly #handle: ModelHandle
  #running: Promise<unknown> = Promise.resolve()
  #disposed = false

  /**
   * @param packed path of a packed file which is mapped; or what was packed in memory (pack.ts)
   *
   * @throws runtime error where there is no native module; checkpoint error when the file is not what it should be
   */
  constructor(packed: string | PackedHandle, options: NativeModelOptions = {}) {
    this.#native = requireModule()
    const {
      threads = availableParallelism(),
      cacheType = 'float32',
      instructionSet = this.#native.instructionSets()[0]!,
    } = options
    this.#handle = named(() =>
      this.#native.openModel(
        typeof packed === 'string' ? toNamespacedPath(packed) : packed,
        threads,
        cacheTypes.indexOf(cacheType),
        instructionSet,
      ),
    )
    this.facts = this.#native.describe(this.#handle)
  }

  get disposed(): boolean {
    return this.#disposed
  }

  /** Rows without tokens. Pages are allocated as tokens come, so the positions that will be needed do not matter. */
  openRows(count: number): number[] {
    return named(() => Array.from({ length: count }, () => this.#native.openRow(this.#handle)))
  }

  /** Rows of a model that is disposed of are gone already. */
  closeRows(rows: readonly number[]): void {
    if (this.#disposed) return
    for (const row of rows) named(() => this.#native.closeRow(this.#handle, row))
  }

  /** Makes `targets[i]` a copy of what `sources[i]` was, all at once. Copies share memory until one of them goes on. */
  copyRows(targets: readonly number[], sources: readonly number[]): void {
    named(() => this.#native.copyRows(this.#handle, Int32Array.from(targets), Int32Array.from(sources)))
  }

  /** Puts keys and values of a layer, [kvHeads, n, headDim] each, into the first n positions of a row. */
  writePrefix(row: number, layer: number, key: Float32Array, value: Float32Array): void {
    named(() => this.#native.writePrefix(this.#handle, row, layer, key, value))
  }

  /** Makes room for adapters, of which number 0 is none, with low-rank products of this rank; what was there before is gone. */
  openAdapters(count: number, rank: number): void {
    named(() => this.#native.openAdapters(this.#handle, count, rank))
  }

  /** One of their tensors, [count, ...] as checkpoints store it. `part`: number of the input or of the linear layer. */
  writeAdapters(kind: AdapterKind, layer: number, part: number, values: Float32Array): void {
    named(() => this.#native.writeAdapters(this.#handle, adapterKinds.indexOf(kind), layer, part, values))
  }

  /** Also while a step is under way; 0 once disposed of. */
  get memoryBytes(): number {
    return this.#native.cacheBytes(this.#handle)
  }

  /**
   * One step at a time: a second one at once is an error.
   *
   * @throws usage error when something does not fit; resource error when memory runs out, the new tokens then count as not there
   */
  run(batch: StepBatch): Promise<StepOutput> {
    return this.#start(() => this.#native.step(this.#handle, batch))
  }

  /**
   * [N, hidden] to [N, vocabulary].
   *
   * @param room over a SharedArrayBuffer: the result stands at its beginning. Default: an array of its own
   */
  async logits(hidden: Float32Array, room?: Float32Array): Promise<Float32Array> {
    const result = await this.#start(() => this.#native.logits(this.#handle, hidden, room))
    const { hiddenSize, vocabSize } = this.facts
    return room ? result.subarray(0, (hidden.length / hiddenSize) * vocabSize) : result
  }

  /**
   * The same, and of each row the largest and ln of the sum of e^x, NaN where a logit is not finite. Worked out on the step's threads:
   * a vocabulary of 50,000 takes JavaScript half a millisecond a row.
   */
  async normalisedLogits(hidden: Float32Array, room?: Float32Array): Promise<NormalisedLogits> {
    const result = await this.#start(() => this.#native.logits(this.#handle, hidden, room, true))
    const n = hidden.length / this.facts.hiddenSize
    const largest = Float32Array.from({ length: n }, (_, i) => result.powers[2 * i]!)
    const normalisers = Float64Array.from({ length: n }, (_, i) => result.powers[2 * i]! + Math.log(result.powers[2 * i + 1]!))
    return { logits: room ? result.logits.subarray(0, n * this.facts.vocabSize) : result.logits, largest, normalisers }
  }

  /** [N, P, hidden] to [N, hidden] and each stream's weight [N, P]. */
  aggregate(aggregator: NativeAggregator, streams: Float32Array): Promise<{ hidden: Float32Array; weights: Float32Array }> {
    return this.#start(() => this.#native.aggregate(this.#handle, aggregator.handle, streams))
  }

  /** Stops what is under way within a layer, and frees everything. The model cannot be used afterwards. */
  async dispose(): Promise<void> {
    this.#disposed = true
    this.#native.closeModel(this.#handle)
    await this.#running.catch(() => {})
  }

  async #start<T>(start: () => Promise<T>): Promise<T> {
    try {
      const result = start()
      this.#running = result
      return await result
    } catch (error) {
      throw parscaleError(error)
    }
  }
}

/** The head that joins P streams, packed in a file of its own; runs on the threads of the model that it is given to. */
export class NativeAggregator {
  readonly handle: AggregatorHandle

  /** @param packed as NativeModel's */
  constructor(packed: string | PackedHandle) {
    const native = requireModule()
    this.handle = named(() => native.openAggregator(typeof packed === 'string' ? toNamespacedPath(packed) : packed))
  }
}
