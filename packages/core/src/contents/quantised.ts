/** A model with its matrices quantised, from a Hugging Face checkpoint or straight from a GGUF file, its stream sets with it. */
import { backboneDigestKey, type Hashing, tensorsDigest, verifyDigest } from '../checkpoint/backbone-digest.ts'
import { requireStreamTensors, requireTensor } from '../checkpoint/expected-tensors.ts'
import { finiteStream } from '../checkpoint/finite.ts'
import type { GgufStream } from '../checkpoint/gguf/model.ts'
import { jsonBytes } from '../checkpoint/json-text.ts'
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts'
import {
  blockSizeOf,
  defaultBlockSize,
  type Matrix,
  type QuantisedPart,
  type QuantiseSettings,
  quantisedStreamSet,
  quantisedTensors,
  type WeightSettings,
} from '../checkpoint/quantise-model.ts'
import { type Quantisation, quantisationJson, quantisationOf } from '../checkpoint/quantised-tensor.ts'
import { streamBytes, streamTensor, type TensorStream } from '../checkpoint/tensor-stream.ts'
import { usageError } from '../errors.ts'
import { type ModelConfig, streamParameters } from '../model/index.ts'
import { configOf, type FolderContents, type SmallFiles } from './folder-contents.ts'
import { backboneStreams, type ModelContents, storedBytes, tiedOf } from './model-contents.ts'

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
  readonly tensors: readonly (TensorStream | GgufStream)[]
  readonly matrices: readonly Matrix[]
  readonly summary: QuantisationSummary
}

/** A stream set as it is stored: its checkpoint, and the small files beside it. */
export interface StoredStreamSet {
  readonly checkpoint: OpenCheckpoint
  readonly files: SmallFiles
}

/** Says what quantising would make of a model, and what it would take. @throws usage error when the model is quantised already */
export function quantisationPlan(model: ModelContents, settings: WeightSettings): QuantisationPlan {
  const { config, path } = model
  refuseQuantised(path, config)
  const { tensors, parts, matrices } = quantisedTensors(model.tensors, config, tiedOf(model), settings, path)
  const { bits, blockSize } = settings === 'stored' ? mostlyOf(parts) : { ...settings, blockSize: blockSizeOf(settings) }
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
  return { config, tensors, matrices, summary }
}

/** Bits and block size of most of a model's integers. */
function mostlyOf(parts: readonly QuantisedPart[]): { bits: QuantiseSettings['bits']; blockSize: number } {
  const elements = new Map<string, number>()
  for (const { bits, blockSize, elements: n } of parts)
    elements.set(`${bits} ${blockSize}`, (elements.get(`${bits} ${blockSize}`) ?? 0) + n)
  const [most] = [...elements].sort(([, a], [, b]) => b - a)
  const [bits, blockSize] = most ? most[0].split(' ').map(Number) : [8, defaultBlockSize]
  return { bits: bits as QuantiseSettings['bits'], blockSize: blockSize! }
}

/** Bytes that quantisedContents hashes of the model. */
export const hashedBytes = (model: ModelContents): number => sumOf(backboneStreams(model), streamBytes)

/**
 * The planned model and its stream sets. The source is read once for its digest here, and once more by who writes the contents.
 *
 * @param sets by their paths in the folder, such as streams/p4
 * @throws checkpoint error when a set was trained on another backbone, and for damaged tensors; the contents' chunks for
 *   numbers that are not finite
 */
export async function quantisedContents(
  model: ModelContents,
  { tensors, summary: { bits, blockSize } }: Omit<QuantisationPlan, 'matrices'>,
  sets: ReadonlyMap<string, StoredStreamSet>,
  hashing: Hashing,
): Promise<FolderContents> {
  const digest = await tensorsDigest(backboneStreams(model), hashing)
  const checkpoints = [...sets.values()].map(({ checkpoint }) => checkpoint)
  await verifyDigest(digest, model.path, checkpoints, { ...hashing, onBytes: undefined })
  const quantisation = { bits, blockSize, sourceBackboneDigest: digest }
  const quantization_config = quantisationJson(quantisation)
  const config = jsonBytes({ ...configOf(model.files), tie_word_embeddings: tiedOf(model), quantization_config })
  return {
    files: new Map(model.files).set('config.json', config),
    tensors,
    folders: new Map([...sets].map(([path, set]) => [path, streamContents(set, quantisation)])),
  }
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
function refuseQuantised(source: string, { raw }: ModelConfig): void {
  const quantised = quantisationOf(raw, source)
  if (!quantised) return
  throw usageError(
    `${source}: is quantised already, to ${quantised.bits} bits; it runs as it is. For other bits quantise the model that it was made from`,
    { file: source, flag: 'bits', found: quantised.bits },
  )
}

/** A stream set without the backbone that it may have been written with. @throws as requireStreamTensors */
export function streamContents(
  { checkpoint, files }: StoredStreamSet,
  quantisation: Required<Quantisation>,
): FolderContents & { readonly matrices: readonly Matrix[] } {
  const { config, configJson } = checkpoint
  requireStreamTensors(checkpoint)
  const stored = streamParameters(config).map((parameter) =>
    finiteStream(streamTensor(requireTensor(checkpoint, parameter)), checkpoint.path),
  )
  const { tensors, parts, matrices } = quantisedStreamSet(stored, config, quantisation, checkpoint.path)
  const quantization = parts.length > 0 ? { quantization_config: quantisationJson(quantisation) } : {}
  const json = { ...configJson, ...quantization, [backboneDigestKey]: quantisation.sourceBackboneDigest }
  return { files: new Map(files).set('config.json', jsonBytes(json)), tensors, matrices }
}
