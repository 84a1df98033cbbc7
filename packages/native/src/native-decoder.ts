/** The native step behind the interface that the engine steps (core's runtime/decoder.ts). */
import { unsupportedError } from '@parscale/core/internal'
import type { DecoderOptions, ModelFiles } from '@parscale/core/internal/generation'
import { type KvType, type ModelConfig, RopeTable } from '@parscale/core/internal/model'
import type { ModelCacheOptions } from '@parscale/core/internal/node'
import type { Decoder, DecoderOutput, DecoderRow, RowCache } from '@parscale/core/internal/runtime'
import { type CacheType, NativeAggregator, NativeModel, type NativeModelOptions } from './native-model.ts'
import { planAggregator, planBackbone } from './pack-plan.ts'
import { packedFile } from './packed-cache.ts'

/** `device` is the CPU. */
export type NativeDecoderOptions = DecoderOptions & Pick<NativeModelOptions, 'instructionSet'> & ModelCacheOptions

const cacheTypes: Readonly<Record<KvType, CacheType>> = { f32: 'float32', f16: 'float16', int8: 'int8' }

/**
 * Why the native step does not run a model with these stream sets; undefined where it does.
 *
 * @param configs of the backbone and all stream sets
 */
export function nativeRefusal(configs: readonly ModelConfig[]): string | undefined {
  for (const config of configs) {
    const { parscale } = config
    const unknown = unknownFeature(config)
    if (unknown) return `the native step knows no ${unknown}, which ${config.modelType} models have`
    const { n, input, aggregation } = parscale
    const strange = input.find((kind) => kind !== 'prefix')
    if (strange !== undefined) return `the native step knows no ${strange} streams (P = ${n})`
    if (n > 1 && aggregation !== 'dynamic') return `the native step knows no ${aggregation} aggregation (P = ${n})`
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
  /** Paths of the stream sets' aggregators, by P. */
  readonly aggregators: ReadonlyMap<number, string>
}

/**
 * The packed files of a model, made in the cache where they are not there.
 *
 * @throws unsupported error where nativeRefusal has a reason; else as packedFile
 */
export async function packModel(files: ModelFiles, options: ModelCacheOptions): Promise<PackedModel> {
  const refusal = nativeRefusal([files.config, ...files.streamSets.map(({ config }) => config)])
  if (refusal !== undefined) throw unsupportedError(`${refusal}; use --engine onnx`)
  const backbone = await packedFile('backbone', planBackbone(files.config, files.findWeight, files.tied), options)
  const aggregators = new Map<number, string>()
  for (const { config, findWeight } of files.streamSets) {
    const { n } = config.parscale
    if (n > 1) aggregators.set(n, await packedFile(`aggregator-p${n}`, planAggregator(config, findWeight), options))
  }
  return { backbone, aggregators }
}

/**
 * Maps a model's packed files, which are made in the cache on first use.
 *
 * @throws as packModel and NativeModel
 */
export async function nativeDecoder(files: ModelFiles, options: NativeDecoderOptions): Promise<Decoder> {
  const { kv = 'f32', threads, instructionSet, ...caching } = options
  const packed = await packModel(files, caching)
  const aggregators = new Map([...packed.aggregators].map(([p, path]) => [p, new NativeAggregator(path)]))
  const model = new NativeRows(packed.backbone, files.config, {
    cacheType: cacheTypes[kv],
    ...(threads === undefined ? {} : { threads }),
    ...(instructionSet === undefined ? {} : { instructionSet }),
  })
  return {
    ragged: true,
    openCache: () => model,
    logits: (hidden) => model.logits(hidden),
    aggregate: (p, streams) => model.aggregate(aggregators.get(p)!, streams),
    dispose: () => model.dispose(),
  }
}

/** A native model as the cache of its rows. All caches of one model are the same one: its pages. */
class NativeRows extends NativeModel implements RowCache {
  readonly #rope: RopeTable
  readonly #half: number

  constructor(path: string, config: ModelConfig, options: NativeModelOptions) {
    super(path, options)
    this.#rope = new RopeTable(config)
    this.#half = config.headDim / 2
  }

  get positionBytes(): number {
    return this.facts.positionBytes
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
      ids,
      cosines,
      sines,
      wanted,
    })
    return { hidden, broken: new Set(rows.flatMap(({ row }, i) => (finite[i] ? [] : [row]))) }
  }
}
