/** The decoder over the compiled step: weights are packed into its memory, as the native step has them in a file. */
import type { ModelFiles } from '../../generation/index.ts'
import { type KvType, type ModelConfig, positionBytes, RopeTable } from '../../model/index.ts'
import { averageOfStreams, planAggregator, planBackbone, type ReadStored, stepBatch, writeAdapters } from '../../packed/index.ts'
import type { Decoder, DecoderOutput, DecoderRow, RowCache } from '../../runtime/index.ts'
import { breathing } from '../engine/breathe.ts'
import { StepModule, type StepModuleOptions } from './step-module.ts'

export interface StepDecoderOptions extends Omit<StepModuleOptions, 'maximumBytes'> {
  /** The bytes of a place in a file. */
  readonly read: ReadStored
  readonly kv: KvType
  /** What the page may have. */
  readonly availableBytes: number
  readonly onBytes?: (bytes: number) => void
  readonly signal?: AbortSignal | undefined
}

export interface StepDecoder extends Decoder {
  /** That came up. */
  readonly threads: number
}

/** @throws runtime error where this browser does not run the module; resource error where the model does not fit; as `read` */
export async function stepDecoder(files: ModelFiles, options: StepDecoderOptions): Promise<StepDecoder> {
  const { config, findWeight, tied, streamSets } = files
  const { read, kv, onBytes, signal, availableBytes } = options
  const plan = planBackbone(config, findWeight, tied)
  const p = Math.max(1, ...streamSets.map((set) => set.config.parscale.n))
  // Two texts of the whole context, and what a step needs beside them.
  const most = 1.5 * plan.totalBytes + 2 * p * config.maxPositionEmbeddings * positionBytes(config, kv) + 2 ** 29
  const module = await StepModule.start({ ...options, maximumBytes: Math.min(most, availableBytes) })
  try {
    await module.openModel(plan, read, kv, onBytes, signal)
    const aggregators = new Map<number, number>()
    for (const { config, findWeight } of streamSets) {
      const { n, aggregation } = config.parscale
      if (n > 1 && aggregation !== 'average')
        aggregators.set(n, await module.openAggregator(planAggregator(config, findWeight), read, onBytes, signal))
    }
    writeAdapters(module, files)
    return decoderOf(module, config, aggregators)
  } catch (error) {
    module.dispose()
    throw error
  }
}

function decoderOf(module: StepModule, config: ModelConfig, aggregators: ReadonlyMap<number, number>): StepDecoder {
  const { hiddenSize: H, vocabSize: V } = config
  const rows = new StepRows(module, config)
  return {
    ragged: true,
    threads: module.threads,
    openCache: () => rows,
    logits: async (hidden) => module.logits(hidden, H, V).logits,
    normalisedLogits: async (hidden) => {
      const { logits, powers } = module.logits(hidden, H, V)
      const n = hidden.length / H
      const largest = Float32Array.from({ length: n }, (_, i) => powers[2 * i]!)
      const normalisers = Float64Array.from({ length: n }, (_, i) => powers[2 * i]! + Math.log(powers[2 * i + 1]!))
      return { logits, largest, normalisers }
    },
    aggregate: async (p, streams) => {
      const aggregator = aggregators.get(p)
      return aggregator === undefined ? averageOfStreams(p, H, streams) : module.aggregate(aggregator, p, streams, H)
    },
    dispose: async () => module.dispose(),
  }
}

class StepRows implements RowCache {
  readonly #module: StepModule
  readonly #config: ModelConfig
  readonly #rope: RopeTable
  readonly #breathe = breathing()
  /** States, queries, keys, values, both halves of the MLP, and the inputs of a product once more. */
  readonly #tokenBytes: number

  constructor(module: StepModule, config: ModelConfig) {
    this.#module = module
    this.#config = config
    this.#rope = new RopeTable(config)
    const { hiddenSize: H, intermediateSize: I, numAttentionHeads, numKeyValueHeads, headDim: D } = config
    this.#tokenBytes = 8 * (2 * H + 2 * (numAttentionHeads + numKeyValueHeads) * D + 3 * I)
  }

  get memoryBytes(): number {
    return this.#module.memoryBytes
  }
  get positionBytes(): number {
    return this.#module.positionBytes
  }
  openRows(count: number): number[] {
    return this.#module.openRows(count)
  }
  closeRows(rows: readonly number[]): void {
    this.#module.closeRows(rows)
  }
  copyRows(targets: readonly number[], sources: readonly number[]): void {
    this.#module.copyRows(targets, sources)
  }
  writePrefix(row: number, layer: number, key: Float32Array, value: Float32Array): void {
    const { numKeyValueHeads, headDim } = this.#config
    this.#module.writePrefix(row, layer, key.length / (numKeyValueHeads * headDim), key, value)
  }

  async step(rows: readonly DecoderRow[]): Promise<DecoderOutput> {
    await this.#breathe()
    const { hidden, finite } = this.#module.step(stepBatch(rows, this.#rope), this.#config.hiddenSize, this.#tokenBytes)
    return { hidden, broken: new Set(rows.flatMap(({ row }, i) => (finite[i] ? [] : [row]))) }
  }
}
