/** Writes a model's folder with its matrices quantised, from a Hugging Face folder or straight from a GGUF file. */
import { basename } from 'node:path'
import { isJsonObject, parseJsonBytes } from '../../checkpoint/json-text.ts'
import {
  blockSizeOf,
  type QuantisedPart,
  type QuantiseSettings,
  quantisedStreamSet,
  quantisedTensors,
} from '../../checkpoint/quantise-model.ts'
import { type Quantisation, quantisationJson, quantisationOf } from '../../checkpoint/quantised-tensor.ts'
import { findTensor } from '../../checkpoint/tensor.ts'
import { streamBytes, streamTensor, type TensorStream } from '../../checkpoint/tensor-stream.ts'
import { usageError } from '../../errors.ts'
import { type ModelConfig, streamParameters } from '../../model/index.ts'
import { jsonBytes, refuseTaken } from '../disk/whole-folder.ts'
import { type FolderContents, type WriteFolderOptions, type WriteProgress, writeModelFolder } from '../disk/write-folder.ts'
import { backboneDigestKey, tensorsDigest, verifyDigest } from './backbone-digest.ts'
import { companionFiles } from './companion-files.ts'
import { backboneStreams, type ModelContents, openModelContents, storedBytes, tiedOf } from './model-contents.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface QuantiseOptions extends QuantiseSettings, Omit<WriteFolderOptions, 'maxShardBytes'> {}

/** What quantising makes of a model: known from headers alone. */
export interface QuantisationSummary {
  readonly bits: QuantiseSettings['bits']
  /** Wanted; matrices have a smaller one where it does not divide their rows, or where a GGUF file's is kept. */
  readonly blockSize: number
  /** Bytes of the model's tensors where they lie, without those of further stream sets. */
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Matrices of one kind together. `from`: the GGUF type whose integers are kept, or what was rounded. */
  readonly matrices: readonly MatrixSummary[]
  /** What stays as it is: norms, biases, prefixes, matrices that no block divides. */
  readonly other: { readonly tensors: number; readonly bytes: number }
}

export interface MatrixSummary extends Pick<QuantisedPart, 'bits' | 'blockSize' | 'zeroPoints' | 'bytes'> {
  readonly from: string
  readonly tensors: number
  readonly parameters: number
}

/** A model as it will be when it is quantised. */
export interface QuantisationPlan {
  /** The model's configuration, as its source has it. */
  readonly config: ModelConfig
  readonly tensors: readonly TensorStream[]
  readonly summary: QuantisationSummary
}

/** Says what quantising would make of a model, and what it would take. @throws as quantiseModel, but for its numbers */
export async function planQuantisation(source: string, settings: QuantiseSettings): Promise<QuantisationPlan> {
  const model = await openModelContents(source)
  await model.close()
  return plan(source, model, settings)
}

/**
 * Quantises a model and its stream sets in streams/. The source is read twice, for its digest first: progress counts both.
 *
 * @param source a model's folder or a .gguf file
 * @param directory must not exist, or be an empty folder
 * @throws usage error when the model is quantised already, checkpoint error when it is damaged or holds numbers that are not
 *   finite, else as writeModelFolder; then nothing is left behind
 */
export async function quantiseModel(
  source: string,
  directory: string,
  { bits, blockSize: wanted, ...writing }: QuantiseOptions,
): Promise<QuantisationSummary> {
  await refuseTaken(directory)
  const blockSize = blockSizeOf({ bits, blockSize: wanted })
  const model = await openModelContents(source)
  const sets: ModelFolder[] = []
  try {
    const { tensors, summary } = plan(source, model, { bits, blockSize })
    const read = backboneStreams(model)
    const hashBytes = sumOf(read, streamBytes)
    const progress = ({ doneBytes, totalBytes }: WriteProgress) =>
      writing.onProgress?.({ doneBytes, totalBytes: hashBytes + totalBytes })
    let hashed = 0
    const digest = await tensorsDigest(read, writing.signal, (bytes) => {
      hashed += bytes
      progress({ doneBytes: hashed, totalBytes: summary.bytesAfter })
    })
    for (const path of await streamSetFolders(source)) sets.push(await openModelFolder(path))
    await verifyDigest(digest, source, sets, writing.signal)
    const quantisation = { bits, blockSize, sourceBackboneDigest: digest }
    const folders = new Map<string, FolderContents>()
    for (const set of sets) folders.set(`streams/${basename(set.path)}`, await streamContents(set, quantisation))
    const quantization_config = quantisationJson(quantisation)
    const config = jsonBytes({ ...configOf(model), tie_word_embeddings: tiedOf(model), quantization_config })
    const files = new Map(model.files).set('config.json', config)
    // One file: weights that an engine takes as one must not be apart.
    const options = {
      ...writing,
      maxShardBytes: Number.POSITIVE_INFINITY,
      onProgress: ({ doneBytes, totalBytes }: WriteProgress) => progress({ doneBytes: hashBytes + doneBytes, totalBytes }),
    }
    await writeModelFolder(directory, { files, tensors, folders }, options)
    return summary
  } finally {
    await Promise.all([model, ...sets].map((open) => open.close()))
  }
}

function plan(source: string, model: ModelContents, settings: QuantiseSettings): QuantisationPlan {
  const { config } = model
  refuseQuantised(source, config)
  const { bits } = settings
  const blockSize = blockSizeOf(settings)
  const { tensors, parts } = quantisedTensors(model.tensors, config, tiedOf(model), { bits, blockSize })
  const bytesAfter = sumOf(tensors, streamBytes)
  const quantisedBytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  const summary = {
    bits,
    blockSize,
    bytesBefore: sumOf(model.tensors, storedBytes),
    bytesAfter,
    matrices: byKind(parts, model),
    other: { tensors: model.tensors.length - parts.length, bytes: bytesAfter - quantisedBytes },
  }
  return { config, tensors, summary }
}

const sumOf = (streams: readonly TensorStream[], bytes: (stream: TensorStream) => number): number =>
  streams.reduce((sum, stream) => sum + bytes(stream), 0)

function byKind(parts: readonly QuantisedPart[], model: ModelContents): MatrixSummary[] {
  const dtypes = new Map(model.tensors.map(({ name, dtype }) => [name, dtype]))
  const kinds = new Map<string, MatrixSummary>()
  for (const { name, bits, blockSize, zeroPoints, elements, bytes, carried } of parts) {
    const from = carried ?? dtypes.get(name)!
    const key = [bits, blockSize, zeroPoints, from].join()
    const { tensors, parameters, bytes: before } = kinds.get(key) ?? { tensors: 0, parameters: 0, bytes: 0 }
    const sums = { tensors: tensors + 1, parameters: parameters + elements, bytes: before + bytes }
    kinds.set(key, { from, bits, blockSize, zeroPoints, ...sums })
  }
  return [...kinds.values()]
}

/** @throws usage error for a model that is quantised: rounding twice loses more than once */
export function refuseQuantised(source: string, { raw }: ModelConfig): void {
  const quantised = quantisationOf(raw, source)
  if (!quantised) return
  throw usageError(
    `${source}: is quantised already, to ${quantised.bits} bits; it runs as it is. For other bits quantise the model that it was made from`,
    { file: source, flag: 'bits', found: quantised.bits },
  )
}

function configOf({ files }: ModelContents): Record<string, unknown> {
  const config = parseJsonBytes(files.get('config.json')!, 'config.json')
  if (!isJsonObject(config)) throw new TypeError('config.json was parsed as an object before')
  return config
}

/** A stream set without the backbone that it may have been written with. */
async function streamContents(set: ModelFolder, quantisation: Required<Quantisation>): Promise<FolderContents> {
  const stored = streamParameters(set.config).flatMap(({ name }) => {
    const tensor = findTensor(set, name)
    return tensor ? [streamTensor(tensor)] : []
  })
  const { tensors, parts } = quantisedStreamSet(stored, set.config, quantisation)
  const quantization = parts.length > 0 ? { quantization_config: quantisationJson(quantisation) } : {}
  const json = { ...set.configJson, ...quantization, [backboneDigestKey]: quantisation.sourceBackboneDigest }
  return { files: new Map(await companionFiles(set.path)).set('config.json', jsonBytes(json)), tensors }
}
