/** From an open checkpoint to what an engine loads: every tensor is checked against config.json before anything is computed. */
import {
  type AnyDType,
  type Checkpoint,
  castBytes,
  findQuantised,
  isTied,
  type ModelConfig,
  noPlace,
  quantisationOf,
  readF32,
  readStored,
  requireFiniteBlocks,
  requireFiniteStored,
  requireStreamTensors,
  requireTensor,
  type StoredDType,
  type StoredTensor,
} from '../checkpoint/index.ts'
import { checkpointError } from '../errors.ts'
import type { DType } from '../graph/index.ts'
import {
  backboneParameters,
  type FindWeight,
  gateName,
  gateScore,
  hasStreams,
  type LayerPrefix,
  type Parameter,
  prefixName,
  type StoredData,
  streamParameters,
} from '../model/index.ts'
import { weightsText } from './weights-text.ts'

export interface ModelFiles extends ModelPlan {
  /** How most weights are stored, for people: `4 bits`, `float32`. */
  readonly weights: string
  readonly streamSets: readonly StreamSetFiles[]
  /** There with `unread`. @throws checkpoint error naming the first tensor that is not finite */
  readonly requireFinite?: () => Promise<void>
}

/** A model of which nothing is read: it need not be there yet. */
export interface ModelPlan {
  readonly config: ModelConfig
  readonly findWeight: FindWeight
  /** True: the output matrix is the embedding. */
  readonly tied: boolean
  readonly streamSets: readonly Pick<StreamSetFiles, 'config' | 'findWeight'>[]
}

export interface StreamSetFiles {
  readonly config: ModelConfig
  readonly findWeight: FindWeight
  /** Per layer; none where the streams have none. */
  readonly prefixes: readonly LayerPrefix[]
  /** [P] */
  readonly prefixScores: readonly number[]
  /** What streams own beside prefixes (model/streams.ts), by name. */
  readonly adapters: ReadonlyMap<string, Float32Array>
}

/** Buffers that some exporters write and no model needs. */
const harmless = /\.rotary_emb\.inv_freq$|\.masked_bias$/

/**
 * What an engine needs to run `backbone` with its own stream set, if it has one, and those of `others`.
 * Others may be whole checkpoints or hold the stream set's tensors only; that they belong to the same backbone is for
 * the caller to verify (checkpoint/backbone-digest.ts).
 *
 * @param unread whoever takes them looks at the backbone's scales and vectors, or calls `requireFinite`
 * @throws checkpoint error naming the first tensor that is missing, superfluous, wrongly shaped or not finite
 */
export async function modelFiles(
  backbone: Checkpoint,
  others: readonly Checkpoint[] = [],
  { unread = false }: { readonly unread?: boolean } = {},
): Promise<ModelFiles> {
  const tied = isTied(backbone)
  const expected = [...backboneParameters(backbone.config, tied), ...streamParameters(backbone.config)]
  const requireFinite = checkTensors(backbone, expected, tied)
  if (!unread) await requireFinite()
  const sets = setsOf(backbone, others)
  for (const set of others) {
    if (!hasStreams(set.config))
      throw checkpointError(`${set.path}: is a plain model (P = 1), so there is no stream set in it`, { file: set.path })
    requireStreamTensors(set)
  }
  return {
    config: backbone.config,
    findWeight: findWeight(backbone),
    weights: weightsText(backbone),
    tied,
    streamSets: await Promise.all(sets.map((set) => streamSetFiles(set))),
    ...(unread && { requireFinite }),
  }
}

/** The same before anything is read. Tensors that are missing or have other shapes are found by who looks for them. */
export const modelPlan = (backbone: Checkpoint, others: readonly Checkpoint[] = []): ModelPlan => ({
  config: backbone.config,
  findWeight: findWeight(backbone),
  tied: isTied(backbone),
  streamSets: setsOf(backbone, others).map((set) => ({ config: set.config, findWeight: findWeight(set) })),
})

/** One for each P: another set takes the place of the one that the backbone's own file holds. */
export const setsOf = <T extends Pick<Checkpoint, 'config'>>(backbone: T, others: readonly T[]): T[] => {
  const isReplaced = others.some(({ config }) => config.parscale.n === backbone.config.parscale.n)
  return [...(isReplaced ? [] : [backbone]), ...others].filter(({ config }) => hasStreams(config))
}

/** Reads all but the aggregator, whose weights stay in their file, and looks at every number (of quantised ones, at the scales). */
async function streamSetFiles(checkpoint: Checkpoint): Promise<StreamSetFiles> {
  const { config, path } = checkpoint
  const prefix = new Map<string, LayerPrefix['key']>()
  const adapters = new Map<string, Float32Array>()
  const hasIntegers = quantisationOf(config.raw) !== undefined
  for (const parameter of streamParameters(config)) {
    const { name, part } = parameter
    const quantised = hasIntegers && findQuantised(checkpoint, name, parameter.shape)
    if (quantised) {
      await requireFiniteBlocks(quantised)
      continue
    }
    const tensor = requireTensor(checkpoint, parameter)
    await requireFiniteStored(tensor, path)
    if (part === 'adapter') adapters.set(name, await readF32(tensor))
    else if (part === 'prefix') prefix.set(name, perStream(await readStored(tensor), tensor, config.parscale.n))
  }
  const layers = config.parscale.input.includes('prefix') ? config.numHiddenLayers : 0
  const prefixes = Array.from({ length: layers }, (_, layer): LayerPrefix => {
    const read = (which: 'k' | 'v') => prefix.get(prefixName(layer, which))!
    return { key: read('k'), value: read('v') }
  })
  const gates = prefix.get(gateName)
  const prefixScores = Array.from({ length: config.parscale.n }, (_, stream) => gateScore(gates?.(stream)[0] ?? 1))
  return { config, findWeight: findWeight(checkpoint), prefixes, prefixScores, adapters }
}

/** The part of a stream, which is the first axis of what streams own: as float32, made of the stored bytes each time. */
function perStream(bytes: Uint8Array<ArrayBuffer>, { dtype }: StoredTensor, streams: number): LayerPrefix['key'] {
  const size = bytes.byteLength / streams
  return (stream) => {
    const wide = castBytes(bytes.subarray(stream * size, (stream + 1) * size), dtype, 'F32')
    return new Float32Array(wide.buffer, wide.byteOffset, wide.byteLength / 4)
  }
}

/** Checks names and shapes. What comes back looks at numbers, once. */
function checkTensors(checkpoint: Checkpoint, expected: readonly Parameter[], tied: boolean): () => Promise<void> {
  const { path } = checkpoint
  const known = new Set(expected.map(({ name }) => name))
  const hasIntegers = quantisationOf(checkpoint.config.raw) !== undefined
  const looks: (() => Promise<void>)[] = []
  for (const parameter of expected) {
    const quantised = hasIntegers && findQuantised(checkpoint, parameter.name, parameter.shape)
    if (!quantised) {
      const tensor = requireTensor(checkpoint, parameter)
      // NaN reaches the logits, which are refused, but for products that round their inputs to integers: those make a number of it.
      // What streams add is looked at where it is read.
      const isBackbone = !['prefix', 'adapter', 'aggregation'].includes(parameter.part)
      if (isBackbone && (hasIntegers || parameter.shape.length === 1))
        looks.push(() => requireFiniteStored(tensor, path, 'backbone'))
    } else {
      looks.push(() => requireFiniteBlocks(quantised))
      for (const part of [quantised.scales, quantised.zeroPoints]) if (part) known.add(part.name)
    }
  }
  if (tied) known.add('lm_head.weight')
  for (const [name, { shape }] of [...checkpoint.tensors, ...checkpoint.otherTensors]) {
    if (known.has(name) || harmless.test(name)) continue
    throw noPlace(checkpoint, name, shape)
  }
  const lookAtAll = async () => {
    for (const look of looks) await look()
  }
  let looked: Promise<void> | undefined
  return () => (looked ??= lookAtAll())
}

const graphTypes: Readonly<Record<StoredDType, DType>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

function findWeight(checkpoint: Checkpoint): FindWeight {
  const hasIntegers = quantisationOf(checkpoint.config.raw) !== undefined
  return (name, shape) => {
    const quantised = hasIntegers && findQuantised(checkpoint, name, shape)
    if (!quantised) {
      const tensor = requireTensor(checkpoint, { name, shape })
      return { dtype: graphTypes[tensor.dtype], data: placeOf(tensor) }
    }
    const { bits, blockSize, data, scales, zeroPoints } = quantised
    return {
      bits,
      blockSize,
      data: placeOf(data),
      scales: placeOf(scales),
      zeroPoints: zeroPoints && { dtype: zeroPoints.dtype === 'U8' ? 'uint8' : 'float32', data: placeOf(zeroPoints) },
    }
  }
}

const placeOf = ({ source, offset, byteLength }: StoredTensor<AnyDType>): StoredData => ({
  path: source.path ?? source.name,
  offset,
  byteLength,
  ...(source.madeFrom && { made: source }),
})
