/**
 * What was trained as a Hugging Face folder: a whole model, a whole model with further stream sets below it, or one stream set
 * apart from its frozen backbone. docs/checkpoints.md describes the three.
 */
import { backboneDigest, backboneDigestKey, type Hashing, tensorsDigest } from '../checkpoint/backbone-digest.ts'
import { configJson } from '../checkpoint/config-json.ts'
import { jsonBytes } from '../checkpoint/json-text.ts'
import { type Checkpoint, isTied } from '../checkpoint/open-checkpoint.ts'
import type { StoredDType } from '../checkpoint/tensor.ts'
import { arrayStream, castStream, streamTensor, type TensorStream } from '../checkpoint/tensor-stream.ts'
import { usageError } from '../errors.ts'
import { backboneParameters, hasStreams, type ModelConfig, type Parameter, streamParameters } from '../model/index.ts'
import type { FolderContents, SmallFiles } from './folder-contents.ts'

/** Values by the names of backboneParameters and streamParameters. */
type Values = ReadonlyMap<string, Float32Array>

/** P streams for a backbone. */
export interface ExportedStreams {
  /** The model's configuration with these streams. */
  readonly config: ModelConfig
  readonly parameters: Values
  /** Small files that go beside it, such as a card. config.json is written here. */
  readonly files?: SmallFiles
}

export interface ExportedModel extends ExportedStreams {
  /** The output matrix is the embedding. */
  readonly tied: boolean
  /** Has the tensors that `parameters` lacks: those that were frozen. */
  readonly base?: Checkpoint
  /** Further stream sets that were trained on the same backbone, each with another P. They go to streams/pP. */
  readonly streamSets?: readonly ExportedStreams[]
}

/** Element type of all tensors; 'keep': F32 for what was trained, the base's for the rest. Rounds to even. */
export type ExportedType = 'keep' | StoredDType

/**
 * A model with its backbone. Stream sets name the backbone's hash as it is written, after rounding.
 *
 * @throws usage error for parameters that are missing, superfluous or of another size, and a P that is there twice; the
 *   contents' chunks for numbers too large for the type
 */
export async function exportedContents(model: ExportedModel, dtype: ExportedType, hashing: Hashing): Promise<FolderContents> {
  const { config, tied, base, streamSets = [] } = model
  const backbone = backboneParameters(config, tied)
  const tensors = tensorStreams([...backbone, ...streamParameters(config)], model, dtype, base)
  const folders = new Map<string, FolderContents>()
  if (streamSets.length > 0) {
    requireDistinct([model, ...streamSets])
    const digest = await tensorsDigest(tensors.slice(0, backbone.length), hashing)
    for (const set of streamSets) folders.set(`streams/p${set.config.parscale.n}`, streamContents(set, tied, digest, dtype))
  }
  const files = modelFiles(model, configJson(config, { tied, dtype: writtenType(tensors) }))
  return { files, tensors, folders }
}

/**
 * A stream set alone, for `--stream-set` or the folder streams/ of its backbone.
 *
 * @param base the backbone, as it is opened to be used with these streams; its hash is taken, which reads all of it
 * @throws as exportedContents; usage error for a model without streams
 */
export async function exportedStreamSet(
  streams: ExportedStreams,
  base: Checkpoint,
  dtype: ExportedType,
  hashing: Hashing,
): Promise<FolderContents> {
  return streamContents(streams, isTied(base), await backboneDigest(base, hashing), dtype)
}

function streamContents(streams: ExportedStreams, tied: boolean, digest: string, dtype: ExportedType): FolderContents {
  const { config } = streams
  if (!hasStreams(config)) throw usageError('export: P = 1 has no stream set; export the whole model', { flag: 'p', found: 1 })
  const tensors = tensorStreams(streamParameters(config), streams, dtype)
  const json = { ...configJson(config, { tied, dtype: writtenType(tensors) }), [backboneDigestKey]: digest }
  return { files: modelFiles(streams, json), tensors }
}

function modelFiles({ config, files }: ExportedStreams, json: Record<string, unknown>): SmallFiles {
  const { bosTokenId, eosTokenIds } = config
  const ends = { bos_token_id: bosTokenId, eos_token_id: eosTokenIds.length === 1 ? eosTokenIds[0] : eosTokenIds }
  const known =
    backboneDigestKey in json || eosTokenIds.length === 0 ? [] : [['generation_config.json', jsonBytes(ends)] as const]
  return new Map([...known, ...(files ?? []), ['config.json', jsonBytes(json)]])
}

/** The tensors of a list, each from the values or else from the base. */
function tensorStreams(
  list: readonly Parameter[],
  { parameters }: ExportedStreams,
  dtype: ExportedType,
  base?: Checkpoint,
): TensorStream[] {
  const names = new Set(list.map(({ name }) => name))
  const stranger = [...parameters.keys()].find((name) => !names.has(name))
  if (stranger !== undefined) {
    throw usageError(`export: parameter ${stranger} has no place in this configuration`, { tensor: stranger })
  }
  return list.map(({ name, shape }) => {
    const stream = source(name, shape, parameters, base)
    return dtype === 'keep' ? stream : castStream(stream, dtype)
  })
}

function source(name: string, shape: readonly number[], parameters: Values, base: Checkpoint | undefined): TensorStream {
  const values = parameters.get(name)
  if (values) return arrayStream(name, shape, values)
  const stored = base?.tensors.get(name)
  if (!stored || stored.shape.join() !== shape.join()) {
    const found = stored ? `${base!.path} has it with shape [${stored.shape}]` : 'nobody has it'
    throw usageError(`export: parameter ${name} with shape [${shape}] is missing; ${found}`, { tensor: name, expected: shape })
  }
  return streamTensor(stored)
}

/** What config.json calls the element type: that of the first tensor, as transformers does. */
const writtenType = (tensors: readonly TensorStream[]): StoredDType => tensors[0]!.dtype as StoredDType

function requireDistinct(sets: readonly ExportedStreams[]): void {
  const seen = new Set<number>()
  for (const { n } of sets.filter(({ config }) => hasStreams(config)).map(({ config }) => config.parscale)) {
    if (seen.has(n)) throw usageError(`export: there are two stream sets with P = ${n}; a model has one per P`, { found: n })
    seen.add(n)
  }
}
