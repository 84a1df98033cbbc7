/** The native step behind the interface that the engine steps (core's runtime/decoder.ts). */
import { availableParallelism } from 'node:os'
import { isParscaleError, unsupportedError } from '@parscale/core/internal'
import type { DecoderOptions, ModelFiles, ModelPlan } from '@parscale/core/internal/generation'
import { isQuantised, type KvType, type ModelConfig, RopeTable } from '@parscale/core/internal/model'
import type { ModelCacheOptions } from '@parscale/core/internal/node'
import {
  averageOfStreams,
  type PackPlan,
  planAggregator,
  planBackbone,
  stepBatch,
  stepRefusal,
  writeAdapters,
} from '@parscale/core/internal/packed'
import type { Decoder, DecoderOutput, DecoderRow, LogitsRoom, RowCache } from '@parscale/core/internal/runtime'
import { type CacheType, NativeAggregator, NativeModel, type NativeModelOptions } from './native-model.ts'
import type { PackedHandle } from './native-module.ts'
import { isPackedInMemory, packInMemory } from './pack.ts'
import { isPacked, packedFile } from './packed-cache.ts'

/** `device` is the CPU. */
export type NativeDecoderOptions = DecoderOptions &
  Pick<NativeModelOptions, 'instructionSet'> &
  ModelCacheOptions & {
    /** Packs all in memory, where the cache has no room or cannot be written: nothing is kept. */
    readonly inMemory?: boolean | undefined
  }

/** Logits that are kept room for: 32 MB. */
const largestRoom = 2 ** 23

const cacheTypes: Readonly<Record<KvType, CacheType>> = { f32: 'float32', f16: 'float16', int8: 'int8' }

/** Why the native step does not run a model with these stream sets; undefined where it does. */
export const nativeRefusal = stepRefusal

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
  const plans = keptPlans(files)
  if (plans.length > 0) await files.requireFinite?.()
  for (const [kind, plan] of plans) await packedFile(kind, plan, options)
}

/** Bytes that prepareModel would write: none for what is in the cache already. @throws as packModel */
export async function keptBytes(model: ModelPlan, options: Pick<ModelCacheOptions, 'cacheDirectory'>): Promise<number> {
  let bytes = 0
  for (const [kind, plan] of keptPlans(model)) if (!(await isPacked(kind, plan, options))) bytes += plan.totalBytes
  return bytes
}

const keptPlans = (model: ModelPlan): (readonly [kind: string, plan: PackPlan])[] =>
  [['backbone', planOf(model)] as const, ...aggregatorPlans(model).values()].filter(([, plan]) => !isPackedInMemory(plan))

/** Of each model one: prepareModel and nativeDecoder ask for the same. */
const plans = new WeakMap<ModelPlan, PackPlan>()

function planOf(model: ModelPlan): PackPlan {
  const { config, findWeight, tied, streamSets } = model
  const refusal = nativeRefusal([config, ...streamSets.map((set) => set.config)])
  if (refusal !== undefined) throw unsupportedError(`${refusal}; use --engine onnx`)
  const plan = plans.get(model) ?? planBackbone(config, findWeight, tied)
  plans.set(model, plan)
  return plan
}

/** By P, each with the name of its packed file. */
function aggregatorPlans({ streamSets }: ModelPlan): Map<number, readonly [kind: string, plan: PackPlan]> {
  const plans = new Map<number, readonly [string, PackPlan]>()
  for (const { config, findWeight } of streamSets) {
    const { n, aggregation } = config.parscale
    if (n > 1 && aggregation !== 'average') plans.set(n, [`aggregator-p${n}`, planAggregator(config, findWeight)])
  }
  return plans
}

/** What isPackedInMemory says in memory; the rest in the cache, where it is made on first use. */
const packedOf = (kind: string, plan: PackPlan, options: NativeDecoderOptions) => {
  const { threads = availableParallelism(), inMemory = isPackedInMemory(plan), ...caching } = options
  return inMemory ? packInMemory(plan, threads, caching) : packedFile(kind, plan, { ...caching, threads })
}

/** The same of the backbone. What packs it looks at all scales and vectors on the way, and not at what else an integer model has. */
async function packedBackbone(files: ModelFiles, options: NativeDecoderOptions): Promise<string | PackedHandle> {
  const plan = planOf(files)
  const matrices = plan.tensors.filter(({ layout }) => !layout.isVector)
  const hasBoth = new Set(matrices.map(({ stored }) => isQuantised(stored))).size > 1
  if (hasBoth || !isPackedInMemory(plan)) await files.requireFinite?.()
  try {
    return await packedOf('backbone', plan, options)
  } catch (error) {
    // It knows the tensor by its name in the file, and what is wrong with it.
    if (isParscaleError(error) && error.kind === 'checkpoint') await files.requireFinite?.()
    throw error
  }
}

/**
 * Packs a model in memory, or maps its packed files, which are made in the cache on first use.
 *
 * @throws as packModel, packInMemory and NativeModel
 */
export async function nativeDecoder(files: ModelFiles, options: NativeDecoderOptions): Promise<Decoder> {
  const { kv = 'f32', threads, instructionSet } = options
  const packed = await packedBackbone(files, options)
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
      return aggregator ? await model.aggregate(aggregator, streams) : averageOfStreams(p, files.config.hiddenSize, streams)
    },
    dispose: () => model.dispose(),
  }
}

/** A native model as the cache of its rows. All caches of one model are the same one: its pages. */
class NativeRows extends NativeModel implements RowCache {
  readonly #rope: RopeTable

  constructor(packed: string | PackedHandle, config: ModelConfig, options: NativeModelOptions) {
    super(packed, options)
    this.#rope = new RopeTable(config)
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
    const { hidden, finite } = await this.run(stepBatch(rows, this.#rope))
    return { hidden, broken: new Set(rows.flatMap(({ row }, i) => (finite[i] ? [] : [row]))) }
  }
}
