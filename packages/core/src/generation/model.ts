/** A model loaded into an engine: one backbone, one output embedding, and a stream set for each P. */
import { Tensor } from 'onnxruntime-common'
import { usageError } from '../errors.ts'
import {
  aggregatorGraph,
  backboneGraph,
  type FindWeight,
  type KvType,
  type LayerPrefix,
  type ModelConfig,
  outputGraph,
} from '../model/index.ts'
import type { Runtime, Session } from '../runtime/index.ts'
import { adapterBank } from './adapter-bank.ts'

/** What makes P streams out of one backbone. */
export interface StreamSet {
  /** The configuration it was trained with: P, prefix length and smoothing count. */
  readonly config: ModelConfig
  readonly prefixes: readonly LayerPrefix[]
  /** Added to the scores of each stream's prefix: 0 where it has no gate. [P] */
  readonly prefixScores: readonly number[]
  /** Undefined for one stream. */
  readonly aggregator: Session | undefined
  /** Number of stream 0's adapter (adapter-bank.ts); the others follow. 0: none of them has one. */
  readonly firstAdapter: number
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
  /** Per layer; none where the input transformation is another. */
  readonly prefixes: readonly LayerPrefix[]
  /** [P] */
  readonly prefixScores: readonly number[]
  /** lora and bitfit tensors by name. */
  readonly adapters: ReadonlyMap<string, Float32Array>
}

export interface ModelOptions {
  /** How keys and values are stored while sequences run. Default: f32. */
  readonly kv?: KvType | undefined
}

export class Model {
  readonly config: ModelConfig
  readonly kv: KvType
  readonly #backbone: Session
  readonly #output: Session
  readonly #streamSets: ReadonlyMap<number, StreamSet>
  readonly #adapters: ReadonlyMap<string, Tensor>
  #disposal: Promise<void> | undefined

  private constructor(
    config: ModelConfig,
    kv: KvType,
    backbone: Session,
    output: Session,
    streamSets: ReadonlyMap<number, StreamSet>,
    adapters: ReadonlyMap<string, Tensor>,
  ) {
    this.config = config
    this.kv = kv
    this.#backbone = backbone
    this.#output = output
    this.#streamSets = streamSets
    this.#adapters = adapters
  }

  /** Compiles the graphs. Frees what it made when one of them fails. */
  static async load(runtime: Runtime, files: ModelFiles, { kv = 'f32' }: ModelOptions = {}): Promise<Model> {
    const made: Session[] = []
    const session = async (graph: ReturnType<typeof backboneGraph>) => {
      const created = await runtime.createSession(graph)
      made.push(created)
      return created
    }
    try {
      const bank = adapterBank(files.streamSets)
      const adapters = new Map([...bank.tensors].map(([name, { dims }]) => [name, dims]))
      // First, as it has the largest weight, which is for a moment there twice: as stored and as packed.
      const output = await session(outputGraph(files.config, files.findWeight, files.tied))
      const backbone = await session(backboneGraph(files.config, files.findWeight, { adapters, kv }))
      const sets = new Map<number, StreamSet>()
      for (const [i, { config, findWeight, prefixes, prefixScores }] of files.streamSets.entries()) {
        const { n } = config.parscale
        const aggregator = n > 1 ? await session(aggregatorGraph(config, findWeight)) : undefined
        sets.set(n, { config, prefixes, prefixScores, aggregator, firstAdapter: bank.first[i]! })
      }
      return new Model(files.config, kv, backbone, output, sets, bank.tensors)
    } catch (error) {
      await Promise.all(made.map((s) => s.dispose()))
      throw error
    }
  }

  /** The P that this model can run with, ascending. 1 is always there: the plain backbone, or a set of one stream. */
  get availableP(): number[] {
    return [...new Set([1, ...this.#streamSets.keys()])].sort((a, b) => a - b)
  }

  /** The largest P: what is used when nobody chooses. */
  get defaultP(): number {
    return this.availableP.at(-1)!
  }

  /** Undefined for the plain backbone. @throws usage error for a P that the model does not have */
  streamSet(p: number): StreamSet | undefined {
    const set = this.#streamSets.get(p)
    if (!set && p !== 1)
      throw usageError(`P = ${p}: this model has no such stream set; it has P = ${this.availableP.join(', ')}`, {
        flag: 'p',
        found: p,
      })
    return set
  }

  /** @param adapters the number of each row's adapter, [R]; 0: none */
  backbone(feeds: Readonly<Record<string, Tensor>>, adapters: readonly number[]): Promise<Readonly<Record<string, Tensor>>> {
    if (this.#adapters.size === 0) return this.#backbone.run(feeds)
    const ids = new Tensor('int64', BigInt64Array.from(adapters, BigInt), [adapters.length])
    return this.#backbone.run({ ...feeds, ...Object.fromEntries(this.#adapters), stream_ids: ids })
  }

  /** [N, P, H] to [N, H] and each stream's weight [N, P]. */
  async aggregate(set: StreamSet, streams: Float32Array): Promise<{ hidden: Float32Array; weights: Float32Array }> {
    const { parscale, hiddenSize } = set.config
    if (!set.aggregator) return { hidden: streams, weights: new Float32Array(streams.length / hiddenSize).fill(1) }
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
    const aggregators = [...this.#streamSets.values()].flatMap(({ aggregator }) => aggregator ?? [])
    this.#disposal ??= Promise.all([this.#backbone, this.#output, ...aggregators].map((s) => s.dispose())).then(() => {})
    return this.#disposal
  }
}
