/** A model that is decoded or rounded while it is read: open like a checkpoint, and never written. */
import { backboneDigestKey, type Hashing, tensorsDigest } from '../checkpoint/backbone-digest.ts'
import type { ByteSource } from '../checkpoint/byte-source.ts'
import { parseModelConfig } from '../checkpoint/config.ts'
import type { GgufStream } from '../checkpoint/gguf/model.ts'
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts'
import { blockSizeOf, type Matrix, type QuantiseSettings, type WeightSettings } from '../checkpoint/quantise-model.ts'
import { quantisationJson } from '../checkpoint/quantised-tensor.ts'
import { sequentialSources } from '../checkpoint/sequential-source.ts'
import { type AnyDType, type StoredTensor, sortTensors } from '../checkpoint/tensor.ts'
import { streamBytes, type TensorStream } from '../checkpoint/tensor-stream.ts'
import { configOf } from './folder-contents.ts'
import { backboneStreams, type ModelContents, tiedOf } from './model-contents.ts'
import { quantisationPlan, type StoredStreamSet, streamContents } from './quantised.ts'

/**
 * A model with its matrices as `settings` say; without, its floats as they are stored or decoded. Numbers that are not finite are
 * found by who reads them. Read each tensor forwards.
 *
 * @param madeFrom absolute paths of the files that the model is read from
 * @throws as quantisationPlan
 */
export function streamedCheckpoint(
  model: ModelContents,
  settings: WeightSettings | undefined,
  madeFrom: readonly string[],
): OpenCheckpoint {
  const plan = settings && quantisationPlan(model, settings)
  const { tensors = model.tensors, matrices = [], summary } = plan ?? {}
  // What a set has to fit is asked of the model that this is made of (streamedDigest).
  const quantization = summary && matrices.length > 0 ? { quantization_config: quantisationJson(summary) } : {}
  const configJson = { ...model.configJson, tie_word_embeddings: tiedOf(model), ...quantization }
  const { path, textFiles } = model
  const readText = async (name: string) => {
    if (name === 'config.json') return JSON.stringify(configJson)
    return textFiles ? await textFiles.readText(name) : textOf(model.files.get(name))
  }
  const checkpoint = checkpointOf({ path, configJson, readText }, tensors, matrices, madeFrom)
  return textFiles?.parsed ? { ...checkpoint, parsed: textFiles.parsed } : checkpoint
}

/** A stream set whose aggregator is rounded while it is read, for a backbone that is. */
export function streamedStreamSet(set: StoredStreamSet, settings: QuantiseSettings, madeFrom: readonly string[]): OpenCheckpoint {
  const digest = String(set.checkpoint.config.raw[backboneDigestKey])
  const quantisation = { ...settings, blockSize: blockSizeOf(settings), sourceBackboneDigest: digest }
  const { files, tensors, matrices } = streamContents(set, quantisation)
  const { path } = set.checkpoint
  return checkpointOf(
    { path, configJson: configOf(files), readText: async (name) => textOf(files.get(name)) },
    tensors,
    matrices,
    madeFrom,
  )
}

/** The digest of the floats that a model's stream sets were trained on. */
export const streamedDigest = (model: ModelContents, hashing: Hashing): Promise<string> =>
  tensorsDigest(backboneStreams(model), hashing)

const textOf = (bytes: Uint8Array | undefined): string | undefined => bytes && new TextDecoder().decode(bytes)

interface SmallParts {
  readonly path: string
  readonly configJson: Readonly<Record<string, unknown>>
  readText(name: string): Promise<string | undefined>
}

function checkpointOf(
  { path, configJson, readText }: SmallParts,
  streams: readonly (TensorStream | GgufStream)[],
  matrices: readonly Matrix[],
  madeFrom: readonly string[],
): OpenCheckpoint {
  const sources = new Map<string, ByteSource>()
  for (const matrix of matrices) {
    const { data, scales, zeroPoints } = matrix
    const sizes = { data: streamBytes(data), scales: streamBytes(scales), zeroPoints: zeroPoints ? streamBytes(zeroPoints) : 0 }
    const made = sequentialSources(path, madeFrom, sizes, () => matrixPieces(matrix))
    sources.set(data.name, { ...made.data, rows: matrix.rows, changedRows: matrix.changedRows }).set(scales.name, made.scales)
    if (zeroPoints) sources.set(zeroPoints.name, made.zeroPoints)
  }
  const stored = streams.map((stream): StoredTensor<AnyDType> => {
    const { name, dtype, shape } = stream
    const source = sources.get(name) ?? plainSource(path, madeFrom, stream)
    return { name, dtype, shape, source, offset: 0, byteLength: streamBytes(stream) }
  })
  return {
    path,
    config: parseModelConfig(configJson, `${path}/config.json`),
    configJson,
    ...sortTensors(stored),
    readText,
  }
}

async function* matrixPieces(matrix: Matrix) {
  for await (const { data, scales, zeroPoints } of matrix.pieces())
    yield { data, scales: bytesOf(scales), zeroPoints: zeroPoints && bytesOf(zeroPoints) }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength)

function plainSource(path: string, madeFrom: readonly string[], stream: TensorStream | GgufStream): ByteSource {
  async function* pieces() {
    for await (const all of stream.chunks()) yield { all }
  }
  const { all } = sequentialSources(path, madeFrom, { all: streamBytes(stream) }, pieces)
  // Of integers that become floats only the blocks lie in the file.
  const isStored = !('type' in stream) || stream.type === stream.dtype
  return { ...all, ...(isStored ? { rows: stream.rows } : { changedRows: stream.rows }) }
}
