/** The native step behind the interface that the engine steps (core's runtime/decoder.ts). */
import { availableParallelism } from 'node:os'
import { unsupportedError } from '@parscale/core/internal'
import { adapterBank, type DecoderOptions, type ModelFiles } from '@parscale/core/internal/generation'
import {
  biasName,
  embeddingName,
  gainName,
  inputScaleName,
  type KvType,
  layerByRole,
  linearInputs,
  linearLayers,
  loraName,
  type ModelConfig,
  outputScaleName,
  RopeTable,
  sharesKeys,
} from '@parscale/core/internal/model'
import type { ModelCacheOptions } from '@parscale/core/internal/node'
import type { Decoder, DecoderOutput, DecoderRow, LogitsRoom, RowCache } from '@parscale/core/internal/runtime'
import { type AdapterKind, type CacheType, NativeAggregator, NativeModel, type NativeModelOptions } from './native-model.ts'
import type { PackedHandle } from './native-module.ts'
import { isPackedInMemory, packInMemory } from './pack.ts'
import { type PackPlan, planAggregator, planBackbone } from './pack-plan.ts'
import { packedFile } from './packed-cache.ts'

/** `device` is the CPU. */
export type NativeDecoderOptions = DecoderOptions & Pick<NativeModelOptions, 'instructionSet'> & ModelCacheOptions

/** Logits that are kept room for: 32 MB. */
const largestRoom = 2 ** 23

const cacheTypes: Readonly<Record<KvType, CacheType>> = { f32: 'float32', f16: 'float16', int8: 'int8' }

/**
 * Why the native step does not run a model with these stream sets; undefined where it does.
 *
 * @param configs of the backbone and all stream sets
 */
export function nativeRefusal(configs: readonly ModelConfig[]): string | undefined {
  for (const config of configs) {
    if (sharesKeys(config)) return 'the native step lets no streams share keys and values (parscale_own_window)'
    const unknown = unknownFeature(config)
    if (unknown) return `the native step knows no ${unknown}, which ${config.modelType} models have`
  }
  return undefined
}

/** What a model computes that the step does not. */
function unknownFeature({ qkNorm, features: f }: ModelConfig): string | undefined {
  if (!f.norms.beforeAttention || !f.norms.beforeMlp || f.norms.afterAttention || f.norms.afterMlp)
    return 'norms behind attention and MLP'
  if (f.normOffset !== 0) return 'norms by 1 + weight'
  if (qkNorm === 'projection') return 'norms of queries and keys over all heads'
  if (f.activation !== 'silu') return `activation ${f.activation}`
  if (f.embeddingScale !== 1) return 'scaled embeddings'
  if (f.attentionScale !== null) return 'scale of attention of its own'
  if (f.attentionSoftCap !== null || f.logitSoftCap !== null) return 'soft caps'
  if (f.rotaryFactor !== 1) return 'rotation of a part of each head'
  return undefined
}

export interface PackedModel {
  /** Path of the packed backbone. */
  readonly backbone: string
  /** Paths of the stream sets' aggregators, by P; an average has none. */
  readonly aggregators: ReadonlyMap<number, string>
}

/**
 * The packed files of a model, made in the cache where they are not there.
 *
 * @throws unsupported error where nativeRefusal has a reason; else as packedFile
 */
export async function packModel(
  files: ModelFiles,
  options: ModelCacheOptions & { readonly threads?: number | undefined },
): Promise<PackedModel> {
  const backbone = await packedFile('backbone', planOf(files), options)
  const aggregators = new Map<number, string>()
  for (const [p, [kind, plan]] of aggregatorPlans(files)) aggregators.set(p, await packedFile(kind, plan, options))
  return { backbone, aggregators }
}

/** Packs into the cache what is not packed in memory at each start. @throws as packModel */
export async function prepareModel(files: ModelFiles, options: ModelCacheOptions): Promise<void> {
  for (const [kind, plan] of [['backbone', planOf(files)] as const, ...aggregatorPlans(files).values()])
    if (!isPackedInMemory(plan)) await packedFile(kind, plan, options)
}

function planOf({ config, findWeight, tied, streamSets }: ModelFiles): PackPlan {
  const refusal = nativeRefusal([config, ...streamSets.map((set) => set.config)])
  if (refusal !== undefined) throw unsupportedError(`${refusal}; use --engine onnx`)
  return planBackbone(config, findWeight, tied)
}

/** By P, each with the name of its packed file. */
function aggregatorPlans({ streamSets }: ModelFiles): Map<number, readonly [kind: string, plan: PackPlan]> {
  const plans = new Map<number, readonly [string, PackPlan]>()
  for (const { config, findWeight } of streamSets) {
    const { n, aggregation } = config.parscale
    if (n > 1 && aggregation !== 'average') plans.set(n, [`aggregator-p${n}`, planAggregator(config, findWeight)])
  }
  return plans
}

/** What isPackedInMemory says in memory; the rest in the cache, where it is made on first use. */
const packedOf = (kind: string, plan: PackPlan, { threads = availableParallelism(), ...caching }: NativeDecoderOptions) =>
  isPackedInMemory(plan) ? packInMemory(plan, threads, caching) : packedFile(kind, plan, { ...caching, threads })

/**
 * Packs a model in memory, or maps its packed files, which are made in the cache on first use.
 *
 * @throws as packModel, packInMemory and NativeModel
 */
export async function nativeDecoder(files: ModelFiles, options: NativeDecoderOptions): Promise<Decoder> {
  const { kv = 'f32', threads, instructionSet } = options
  const packed = await packedOf('backbone', planOf(files), options)
  const aggregators = new Map<number, NativeAggregator>()
  for (const [p, [kind, plan]] of aggregatorPlans(files))
    aggregators.set(p, new NativeAggregator(await packedOf(kind, plan, options)))
  const model = new NativeRows(packed, files.config, {
    cacheType: cacheTypes[kv],
    ...(threads === undefined ? {} : { threads }),
    ...(instructionSet === undefined ? {} : { instructionSet }),
  })
  writeAdapters(model, files)
  return {
    ragged: true,
    openCache: () => model,
    logits: (hidden, room) => model.logits(hidden, model.roomFor(hidden, room)),
    normalisedLogits: (hidden, room) => model.normalisedLogits(hidden, model.roomFor(hidden, room)),
    aggregate: async (p, streams) => {
      const aggregator = aggregators.get(p)
      return aggregator ? await model.aggregate(aggregator, streams) : average(p, files.config.hiddenSize, streams)
    },
    dispose: () => model.dispose(),
  }
}

/** [N, P, H] to their mean [N, H], as the graph does it: the first, and what the others differ by. */
function average(P: number, H: number, streams: Float32Array): { hidden: Float32Array; weights: Float32Array } {
  const N = streams.length / (P * H)
  const hidden = new Float32Array(N * H)
  for (let i = 0; i < N * H; i++) {
    const first = Math.floor(i / H) * P * H + (i % H)
    let sum = 0
    for (let p = 1; p < P; p++) sum += (streams[first + p * H]! - streams[first]!) / P
    hidden[i] = streams[first]! + sum
  }
  return { hidden, weights: new Float32Array(N * P).fill(1 / P) }
}

/** What streams own beside prefixes goes to the model once, under numbers that rows name. */
function writeAdapters(model: NativeModel, { config, streamSets }: ModelFiles): void {
  const bank = adapterBank(streamSets)
  if (bank.size === 0) return
  const write = (name: string, kind: AdapterKind, layer: number, part: number) => {
    const tensor = bank.get(name)
    if (tensor) model.writeAdapters(kind, layer, part, tensor.values)
  }
  const [count] = [...bank.values()][0]!.shape as [number]
  model.openAdapters(count, Math.max(0, ...streamSets.map((set) => set.config.parscale.loraRank)))
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const at = `model.layers.${layer}`
    for (const [part, { name }] of Object.values(linearInputs).entries())
      write(inputScaleName(`${at}.${name}`), 'inputScale', layer, part)
    for (const [part, { name }] of linearLayers(config, layer).entries()) {
      write(outputScaleName(name), 'outputScale', layer, part)
      write(biasName(name), 'bias', layer, part)
      write(loraName(name, 'A'), 'loraA', layer, part)
      write(loraName(name, 'B'), 'loraB', layer, part)
    }
    for (const norm of ['inputNorm', 'postNorm'] as const)
      write(gainName(layerByRole(config, layer).get(norm)!.layer), norm, layer, 0)
  }
  write(gainName('model.norm'), 'finalNorm', 0, 0)
  write(outputScaleName(embeddingName), 'embeddingScale', 0, 0)
  write(biasName(embeddingName), 'embeddingBias', 0, 0)
}

/** A native model as the cache of its rows. All caches of one model are the same one: its pages. */
class NativeRows extends NativeModel implements RowCache {
  readonly #rope: RopeTable
  readonly #half: number

  constructor(packed: string | PackedHandle, config: ModelConfig, options: NativeModelOptions) {
    super(packed, options)
    this.#rope = new RopeTable(config)
    this.#half = config.headDim / 2
  }

  get positionBytes(): number {
    return this.facts.positionBytes
  }

  /** Shared memory, as JavaScript goes on while it is written; undefined where logits shall have an array of their own. */
  roomFor(hidden: Float32Array, room: LogitsRoom | undefined): Float32Array | undefined {
    const size = (hidden.length / this.facts.hiddenSize) * this.facts.vocabSize
    if (!room || size > largestRoom) return undefined
    if (!room.values || size > room.values.length) room.values = new Float32Array(new SharedArrayBuffer(4 * size))
    return room.values
  }

  async step(rows: readonly DecoderRow[]): Promise<DecoderOutput> {
    const tokens = rows.reduce((sum, { ids }) => sum + ids.length, 0)
    const ids = new Int32Array(tokens)
    const wanted = new Uint8Array(tokens)
    const [cosines, sines] = [new Float32Array(tokens * this.#half), new Float32Array(tokens * this.#half)]
    let at = 0
    for (const row of rows) {
      ids.set(row.ids, at)
      this.#rope.fill(cosines, sines, at * this.#half, row.firstPosition + row.length, row.ids.length)
      at += row.ids.length
      wanted.fill(1, at - row.wanted, at)
    }
    const { hidden, finite } = await this.run({
      rows: Int32Array.from(rows, ({ row }) => row),
      prefixes: Int32Array.from(rows, ({ prefix }) => prefix),
      prefixScores: Float32Array.from(rows, ({ prefixScore }) => prefixScore),
      lengths: Int32Array.from(rows, ({ length }) => length),
      counts: Int32Array.from(rows, ({ ids }) => ids.length),
      adapters: Int32Array.from(rows, ({ adapter }) => adapter),
      ids,
      cosines,
      sines,
      wanted,
    })
    return { hidden, broken: new Set(rows.flatMap(({ row }, i) => (finite[i] ? [] : [row]))) }
  }
}
