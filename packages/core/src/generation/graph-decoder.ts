/** The decoder over graphs, for any Runtime: one session each for the backbone, the output embedding and each aggregator. */
import { Tensor } from 'onnxruntime-common'
import { aggregatorGraph, backboneGraph, type KvType, type ModelConfig, outputGraph, sharesKeys } from '../model/index.ts'
import type { Decoder, Runtime, Session, TensorMemory } from '../runtime/index.ts'
import { type AdapterTensor, adapterBank } from './adapter-bank.ts'
import { GraphRowCache } from './graph-row-cache.ts'
import type { ModelFiles } from './model-files.ts'

export class GraphDecoder implements Decoder {
  /** A graph's rows are of one length: shorter ones are padded. */
  readonly ragged = false
  readonly #config: ModelConfig
  readonly #kv: KvType
  readonly #backbone: Session
  readonly #output: Session
  readonly #aggregators: ReadonlyMap<number, Session>
  readonly #adapters: ReadonlyMap<string, Tensor>
  readonly #shared: boolean
  readonly #memory: TensorMemory | undefined
  /** Those in the engine's memory, which nobody collects. */
  readonly #caches: GraphRowCache[] = []

  private constructor(
    config: ModelConfig,
    kv: KvType,
    backbone: Session,
    output: Session,
    aggregators: ReadonlyMap<number, Session>,
    adapters: ReadonlyMap<string, Tensor>,
    shared: boolean,
    memory: TensorMemory | undefined,
  ) {
    this.#config = config
    this.#kv = kv
    this.#backbone = backbone
    this.#output = output
    this.#aggregators = aggregators
    this.#adapters = adapters
    this.#shared = shared
    this.#memory = memory
  }

  /** Compiles the graphs. Frees what it made when one of them fails. */
  static async load(
    runtime: Runtime,
    files: ModelFiles,
    { kv = 'f32' }: { readonly kv?: KvType | undefined },
  ): Promise<GraphDecoder> {
    const made: Session[] = []
    const session = async (graph: ReturnType<typeof backboneGraph>) => {
      const created = await runtime.createSession(graph)
      made.push(created)
      return created
    }
    try {
      const bank = adapterBank(files.streamSets)
      const shared = files.streamSets.some(({ config }) => sharesKeys(config))
      const adapters = new Map([...bank].map(([name, { shape }]) => [name, shape]))
      // First, as it has the largest weight, which is for a moment there twice: as stored and as packed.
      const output = await session(outputGraph(files.config, files.findWeight, files.tied))
      const backbone = await session(backboneGraph(files.config, files.findWeight, { adapters, kv, sharesKeys: shared }))
      const aggregators = new Map<number, Session>()
      for (const { config, findWeight } of files.streamSets) {
        const { n } = config.parscale
        if (n > 1) aggregators.set(n, await session(aggregatorGraph(config, findWeight)))
      }
      return new GraphDecoder(files.config, kv, backbone, output, aggregators, asTensors(bank), shared, runtime.memory)
    } catch (error) {
      await Promise.all(made.map((s) => s.dispose()))
      throw error
    }
  }

  openCache(): GraphRowCache {
    const cache = new GraphRowCache(this.#config, this.#kv, (feeds, adapters) => this.#run(feeds, adapters), {
      shared: this.#shared,
      memory: this.#memory,
    })
    if (this.#memory) this.#caches.push(cache)
    return cache
  }

  /** @param adapters the number of each row's adapter, [R]; 0: none */
  #run(feeds: Readonly<Record<string, Tensor>>, adapters: readonly number[]): Promise<Readonly<Record<string, Tensor>>> {
    if (this.#adapters.size === 0) return this.#backbone.run(feeds)
    const ids = new Tensor('int64', BigInt64Array.from(adapters, BigInt), [adapters.length])
    return this.#backbone.run({ ...feeds, ...Object.fromEntries(this.#adapters), stream_ids: ids })
  }

  async logits(hidden: Float32Array): Promise<Float32Array> {
    const { hiddenSize } = this.#config
    const out = await this.#output.run({ hidden: new Tensor('float32', hidden, [hidden.length / hiddenSize, hiddenSize]) })
    return floats(out.logits)
  }

  async aggregate(p: number, streams: Float32Array): Promise<{ hidden: Float32Array; weights: Float32Array }> {
    const { hiddenSize } = this.#config
    const shape = [streams.length / (p * hiddenSize), p, hiddenSize]
    const out = await this.#aggregators.get(p)!.run({ streams: new Tensor('float32', streams, shape) })
    return { hidden: floats(out.hidden), weights: floats(out.weights) }
  }

  async dispose(): Promise<void> {
    for (const cache of this.#caches) cache.clear()
    await Promise.all([this.#backbone, this.#output, ...this.#aggregators.values()].map((s) => s.dispose()))
  }
}

const asTensors = (bank: ReadonlyMap<string, AdapterTensor>): Map<string, Tensor> =>
  new Map([...bank].map(([name, { shape, values }]) => [name, new Tensor('float32', values, shape)]))

const floats = (tensor: Tensor | undefined): Float32Array => tensor!.data as Float32Array
