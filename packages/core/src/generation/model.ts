/** A model loaded into an engine: one backbone, one output embedding, and a stream set for each P. */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../errors.ts'
import {
  aggregatorGraph,
  backboneGraph,
  type FindWeight,
  type LayerPrefix,
  type ModelConfig,
  outputGraph,
} from '../model/index.ts'
import type { Runtime, Session } from '../runtime/index.ts'

/** What makes P streams out of one backbone. */
export interface StreamSet {
  /** The configuration it was trained with: P, prefix length and smoothing count. */
  readonly config: ModelConfig
  readonly prefixes: readonly LayerPrefix[]
  readonly aggregator: Session
}

export interface ModelFiles {
  readonly config: ModelConfig
  readonly findWeight: FindWeight
  /** True: the output matrix is the embedding. */
  readonly tied: boolean
  readonly streamSets: readonly StreamSetFiles[]
}

export interface StreamSetFiles {
  readonly config: ModelConfig
  readonly findWeight: FindWeight
  readonly prefixes: readonly LayerPrefix[]
}

export class Model {
  readonly config: ModelConfig
  readonly #backbone: Session
  readonly #output: Session
  readonly #streamSets: ReadonlyMap<number, StreamSet>
  #disposal: Promise<void> | undefined

  private constructor(config: ModelConfig, backbone: Session, output: Session, streamSets: ReadonlyMap<number, StreamSet>) {
    this.config = config
    this.#backbone = backbone
    this.#output = output
    this.#streamSets = streamSets
  }

  /** Compiles the graphs. Frees what it made when one of them fails. */
  static async load(runtime: Runtime, files: ModelFiles): Promise<Model> {
    const made: Session[] = []
    const session = async (graph: ReturnType<typeof backboneGraph>) => {
      const created = await runtime.createSession(graph)
      made.push(created)
      return created
    }
    try {
      const backbone = await session(backboneGraph(files.config, files.findWeight))
      const output = await session(outputGraph(files.config, files.findWeight, files.tied))
      const sets = new Map<number, StreamSet>()
      for (const { config, findWeight, prefixes } of files.streamSets) {
        sets.set(config.parscale.n, { config, prefixes, aggregator: await session(aggregatorGraph(config, findWeight)) })
      }
      return new Model(files.config, backbone, output, sets)
    } catch (error) {
      await Promise.all(made.map((s) => s.dispose()))
      throw error
    }
  }

  /** The P that this model can run with, ascending. 1, the plain backbone, is always there. */
  get availableP(): number[] {
    return [1, ...[...this.#streamSets.keys()].sort((a, b) => a - b)]
  }

  /** The largest P: what is used when nobody chooses. */
  get defaultP(): number {
    return this.availableP.at(-1)!
  }

  /** Undefined for P = 1. @throws usage error for a P that the model does not have */
  streamSet(p: number): StreamSet | undefined {
    if (p === 1) return undefined
    const set = this.#streamSets.get(p)
    if (!set)
      throw usageError(`P = ${p}: this model has no such stream set; it has P = ${this.availableP.join(', ')}`, {
        flag: 'p',
        found: p,
      })
    return set
  }

  backbone(feeds: Readonly<Record<string, Tensor>>): Promise<Readonly<Record<string, Tensor>>> {
    return this.#backbone.run(feeds)
  }

  /** [N, P, H] to [N, H] and each stream's weight [N, P]. */
  async aggregate(set: StreamSet, streams: Float32Array): Promise<{ hidden: Float32Array; weights: Float32Array }> {
    const { parscale, hiddenSize } = set.config
    const tokens = streams.length / (parscale.n * hiddenSize)
    const out = await set.aggregator.run({ streams: new Tensor('float32', streams, [tokens, parscale.n, hiddenSize]) })
    return { hidden: out.hidden!.data as Float32Array, weights: out.weights!.data as Float32Array }
  }

  /** [N, H] to logits [N, vocabulary]. */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    const { hiddenSize } = this.config
    const out = await this.#output.run({ hidden: new Tensor('float32', hidden, [hidden.length / hiddenSize, hiddenSize]) })
    return out.logits!.data as Float32Array
  }

  /** Frees native memory, once; the model cannot be used afterwards. */
  dispose(): Promise<void> {
    const aggregators = [...this.#streamSets.values()].map(({ aggregator }) => aggregator)
    this.#disposal ??= Promise.all([this.#backbone, this.#output, ...aggregators].map((s) => s.dispose())).then(() => {})
    return this.#disposal
  }
}
