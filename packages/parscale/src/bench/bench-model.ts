/** The models that a bench measures: a published shape with random weights, or a model of the user's. A plan says what they need before anything is written. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type ParscaleError, resourceError, usageError } from '@parscale/core/internal'
import {
  isTied,
  quantisationOf,
  quantisedFormatVersion,
  requireStreamTensors,
  streamBytes,
} from '@parscale/core/internal/checkpoint'
import { type FolderContents, unwrittenFolder } from '@parscale/core/internal/contents'
import { countParameters, type ModelShape } from '@parscale/core/internal/cost'
import { type ModelPlan, modelPlan } from '@parscale/core/internal/generation'
import {
  backboneParameters,
  elementCount,
  hasStreams,
  type ModelConfig,
  parscaleConfig,
  streamParameters,
} from '@parscale/core/internal/model'
import {
  cacheAdvice,
  type ModelFolder,
  openModelFolder,
  type WriteProgress,
  writeModelFolder,
} from '@parscale/core/internal/node'
import { freeBytes } from '../hub/disk-space.ts'
import { type EngineName, keptBytes } from '../load/decode-engine.ts'
import { openModel } from '../load/open-model.ts'
import { outlineModel } from '../load/outline.ts'
import { planFolder } from '../load/plan-folder.ts'
import { formatAmount } from '../terminal/progress.ts'
import { shapeOfConfig } from './model-shape.ts'
import {
  streamSetContents,
  syntheticBytes,
  syntheticConfig,
  syntheticContents,
  type WeightBits,
  writeSyntheticModel,
} from './synthetic-model.ts'
import type { Workplace } from './workplace.ts'

export interface BenchModel {
  readonly name: string
  readonly bits: WeightBits
  readonly shape: ModelShape
  /** Folder of the backbone. */
  readonly backbone: string
  /** Folder of P's stream set; undefined for P = 1 and where the backbone has it. */
  streamSet(p: number): string | undefined
  /** Of the backbone, as an engine holds it: 16-bit weights are widened. */
  readonly weightBytes: number
  /** Prefixes and aggregator for P streams. */
  streamBytes(p: number): number
  /** Mean bits of a weight, scales included. */
  readonly weightBits: number
}

/** A model that is known, but not yet there. */
export interface PlannedModel {
  readonly model: BenchModel
  /** Bytes that `make` writes into the cache. */
  readonly diskBytes: number
  /** What engines are given: they may write more. */
  readonly plan: ModelPlan
  make(options: MakeOptions): Promise<BenchModel>
}

export interface MakeOptions {
  readonly signal: AbortSignal
  readonly onProgress: (progress: WriteProgress) => void
}

/** A shape with random weights in so many bits. @param keep leaves it for later runs, which take it as it is */
export async function planShape(
  name: string,
  shape: ModelShape,
  bits: WeightBits,
  streams: readonly number[],
  { workplace, keep }: { workplace: Workplace; keep: boolean },
): Promise<PlannedModel> {
  const sets = [...streams].sort((a, b) => a - b).join('-')
  const folderName = `${name.replaceAll(' ', '-')}-${bits}bit-p${sets}-format${quantisedFormatVersion}`
  const kept = join(workplace.kept, folderName)
  const isThere = await exists(kept)
  const backbone = isThere || keep ? kept : join(workplace.temporary(), folderName)
  const config = syntheticConfig(shape)
  const model: BenchModel = {
    name,
    bits,
    shape,
    backbone,
    streamSet: (p) => (p === 1 ? undefined : join(backbone, 'streams', `p${p}`)),
    ...bytesOf(config, shape, bits),
  }
  return {
    model,
    diskBytes: isThere ? 0 : syntheticBytes({ shape, bits, streams }),
    plan: isThere ? await writtenPlan(model, streams) : unwrittenPlan(backbone, syntheticContents({ shape, bits, streams })),
    async make(options) {
      if (!isThere) await writeSyntheticModel(backbone, { shape, bits, streams }, options)
      return model
    },
  }
}

export interface ModelRequest {
  readonly model: string | undefined
  /** undefined: as it is stored. */
  readonly bits: WeightBits | undefined
  /** undefined: those that it has. */
  readonly streams: readonly number[] | undefined
  readonly workplace: Workplace
  readonly env: NodeJS.ProcessEnv
}

/** A model by its folder, file or name. Stream sets that it lacks are made up: what they cost does not depend on what they learned. */
export async function planModel({
  model: source,
  bits,
  streams: wanted,
  workplace,
  env,
}: ModelRequest): Promise<PlannedModel & { readonly streams: readonly number[] }> {
  const outline = await outlineModel(source, { env })
  // Before what config.json says of streams is taken for what they need.
  for (const each of [outline.backbone, ...outline.streamSets]) requireStreamTensors(each)
  const { config, path } = outline.backbone
  const own = new Map<number, string | undefined>(outline.streamSets.map((set) => [set.config.parscale.n, set.path]))
  own.set(1, undefined)
  if (hasStreams(config)) own.set(config.parscale.n, undefined)
  const shape = shapeOfConfig(config, isTied(outline.backbone))
  const streams = wanted ?? [...own.keys()].sort((a, b) => a - b)
  const missing = streams.filter((p) => !own.has(p))
  const madeUp = (p: number) => join(workplace.temporary(), `streams-p${p}`)
  const storedBits = quantisationOf(config.raw, path)?.bits ?? 32
  if (bits === 32 && storedBits !== 32)
    throw usageError(`${path}: is quantised to ${storedBits} bits already; leave --bits out`, { flag: '--bits', found: bits })
  const plain = { ...config, parscale: parscaleConfig({ n: 1 }) }
  const planned = new Map([...own, ...missing.map((p) => [p, madeUp(p)] as const)])
  const model: BenchModel = {
    name: source ?? 'shipped',
    bits: bits ?? storedBits,
    shape,
    backbone: path,
    streamSet: (p) => planned.get(p),
    ...bytesOf(plain, shape, bits ?? storedBits),
  }
  const toWrite = await planFolder(source, { bits, env })
  const stored = toWrite ?? (await openModel(source, { bits, env }))
  if ('close' in stored) await stored.close()
  const sets = stored.streamSets.filter((set) => streams.includes(set.config.parscale.n))
  const contents = (p: number) => streamSetContents(plain, { n: p, nTokens: shape.prefixTokens }, model.bits)
  return {
    model,
    streams,
    diskBytes: (toWrite?.bytes ?? 0) + missing.reduce((sum, p) => sum + model.streamBytes(p), 0),
    plan: modelPlan(stored.backbone, [...sets, ...missing.map((p) => unwrittenFolder(madeUp(p), contents(p)))]),
    async make({ signal, onProgress }) {
      const open = await openModel(source, { bits, env, signal, onUnpack: onProgress, onQuantise: onProgress })
      await open.close()
      const sets = new Map(planned)
      for (const set of open.streamSets) sets.set(set.config.parscale.n, set.path)
      for (const p of missing) await writeModelFolder(madeUp(p), contents(p), { signal, advice: cacheAdvice })
      const weightBytes = heldBytes(open.backbone)
      const weightBits = (8 * weightBytes) / countParameters(shape, 1).total
      return { ...model, backbone: open.backbone.path, streamSet: (p) => sets.get(p), weightBytes, weightBits }
    },
  }
}

async function writtenPlan({ backbone, streamSet }: BenchModel, streams: readonly number[]): Promise<ModelPlan> {
  const folders: ModelFolder[] = []
  for (const path of [backbone, ...streams.map(streamSet)]) if (path !== undefined) folders.push(await openModelFolder(path))
  await Promise.all(folders.map((folder) => folder.close()))
  return modelPlan(folders[0]!, folders.slice(1))
}

const unwrittenPlan = (folder: string, contents: FolderContents): ModelPlan =>
  modelPlan(
    unwrittenFolder(folder, contents),
    [...contents.folders!].map(([name, set]) => unwrittenFolder(join(folder, name), set)),
  )

/**
 * Adds up what will be written: the models, and what engines keep of them.
 *
 * @returns why engines can keep nothing, where the models fit on the disk and that does not
 * @throws resource error, with the numbers, when the models do not fit
 */
export async function requireDisk(
  plans: readonly PlannedModel[],
  { folder, cache }: Workplace,
  engines: readonly EngineName[],
): Promise<ParscaleError | undefined> {
  const models = plans.reduce((sum, { diskBytes }) => sum + diskBytes, 0)
  let kept = 0
  for (const { plan } of plans) for (const engine of engines) kept += await keptBytes(engine, plan, { cacheDirectory: cache })
  const needed = models + kept
  if (needed === 0) return undefined
  const free = await freeBytes(folder).catch(() => undefined)
  // Where it is not there, who writes will say what is wrong.
  if (free === undefined || needed <= free) return undefined
  const packed = kept > 0 ? ` (${formatAmount(kept, 'B')} of it packed weights)` : ''
  const error = resourceError(
    `${folder}: the models take ${formatAmount(needed, 'B')} on disk${packed}, ${formatAmount(free, 'B')} are free; choose fewer bits, shapes or --layers, make room, or set PARSCALE_CACHE to another disk`,
    { file: folder, expected: needed, found: free },
  )
  if (models > free) throw error
  return error
}

type Bytes = Pick<BenchModel, 'weightBytes' | 'weightBits' | 'streamBytes'>

/** Quantised: codes, and a float32 scale for each block; what no block divides and vectors are float32. */
function bytesOf(config: ModelConfig, shape: ModelShape, bits: WeightBits): Bytes {
  const weightBytes =
    bits === 32 ? 4 * count(backboneParameters(config, shape.tiedEmbeddings)) : syntheticBytes({ shape, bits, streams: [] })
  const setBytes = (p: number) =>
    streamSetContents(config, { n: p, nTokens: shape.prefixTokens }, bits).tensors.reduce(
      (sum, tensor) => sum + streamBytes(tensor),
      0,
    )
  return {
    weightBytes,
    weightBits: (8 * weightBytes) / countParameters(shape, 1).total,
    streamBytes: (p) => (p === 1 ? 0 : setBytes(p)),
  }
}

/** What an engine holds of a backbone's tensors: floats in float32, quantised data as they are. */
function heldBytes({ config, tensors, otherTensors }: ModelFolder): number {
  const ofStreams = new Set(streamParameters(config).map(({ name }) => name))
  const held = [...tensors.values()].filter(({ name }) => !ofStreams.has(name))
  return 4 * count(held) + [...otherTensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0)
}

const count = (parameters: readonly { readonly shape: readonly number[] }[]): number =>
  parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0)

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
