/** The decoder over graphs, for any Runtime: one session each for the backbone, the output embedding and each aggregator. */
import { Tensor } from 'onnxruntime-common'
import { aggregatorGraph, backboneGraph, type KvType, type ModelConfig, outputGraph, sharesKeys } from '../model/index.ts'
import type { Decoder, DeviceMemory, Runtime, Session, SessionOptions, TensorMemory } from '../runtime/index.ts'
import { type AdapterTensor, adapterBank } from './adapter-bank.ts'
import { DeviceKvCache, keptOutputs } from './device-kv-cache.ts'
import { GraphRowCache, type RunBackbone } from './graph-row-cache.ts'
import { KvCache } from './kv-cache.ts'
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
  readonly #deviceMemory: DeviceMemory | undefined
  /** Those in memory of the engine or of its device, which nobody collects. */
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
    deviceMemory: DeviceMemory | undefined,
  ) {
    this.#config = config
    this.#kv = kv
    this.#backbone = backbone
    this.#output = output
    this.#aggregators = aggregators
    this.#adapters = adapters
    this.#shared = shared
    this.#memory = memory
    this.#deviceMemory = deviceMemory
  }

  /** Compiles the graphs. Frees what it made when one of them fails. */
  static async load(
    runtime: Runtime,
    files: ModelFiles,
    { kv = 'f32' }: { readonly kv?: KvType | undefined },
  ): Promise<GraphDecoder> {
    const made: Session[] = []
    const session = async (graph: ReturnType<typeof backboneGraph>, options?: SessionOptions) => {
      const created = await runtime.createSession(graph, options)
      made.push(created)
      return created
    }
    try {
      const bank = adapterBank(files.streamSets)
      const shared = files.streamSets.some(({ config }) => sharesKeys(config))
      const adapters = new Map([...bank].map(([name, { shape }]) => [name, shape]))
      // First, as it has the largest weight, which is for a moment there twice: as stored and as packed.
      const output = await session(outputGraph(files.config, files.findWeight, files.tied))
      // What narrows keys and values runs on the CPU.
      const deviceMemory = kv === 'f32' ? runtime.deviceMemory : undefined
      const backbone = await session(
        backboneGraph(files.config, files.findWeight, { adapters, kv, sharesKeys: shared }),
        deviceMemory && { keepOnDevice: keptOutputs(files.config) },
      )
      const aggregators = new Map<number, Session>()
      for (const { config, findWeight } of files.streamSets) {
        const { n } = config.parscale
        if (n > 1) aggregators.set(n, await session(aggregatorGraph(config, findWeight)))
      }
      const { memory } = runtime
      const tensors = asTensors(bank)
      return new GraphDecoder(files.config, kv, backbone, output, aggregators, tensors, shared, memory, deviceMemory)
    } catch (error) {
      await Promise.all(made.map((s) => s.dispose()))
      throw error
    }
  }

  openCache(): GraphRowCache {
    const store = this.#deviceMemory
      ? new DeviceKvCache(this.#config, this.#deviceMemory)
      : new KvCache(this.#config, this.#kv, this.#memory)
    const run: RunBackbone = (feeds, adapters) => this.#run(feeds, adapters)
    const cache = new GraphRowCache(this.#config, this.#kv, run, store, { shared: this.#shared })
    if (this.#memory || this.#deviceMemory) this.#caches.push(cache)
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
