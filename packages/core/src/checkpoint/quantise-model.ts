/**
 * A model's tensors with its matrices quantised, as streams: nothing is read or rounded before somebody writes them. Order
 * matters: weights that are multiplied with the same input lie side by side, so that an engine can take them as one.
 */
import { checkpointError } from '../errors.ts'
import {
  backboneParameters,
  elementCount,
  type ModelConfig,
  type Parameter,
  type StoredRows,
  streamParameters,
} from '../model/index.ts'
import type { GgmlType } from './gguf/blocks.ts'
import type { GgufStream } from './gguf/model.ts'
import { type CarriedFormat, carriedFormat, carryBlocks } from './gguf/quantised.ts'
import { type BlockShape, blockSizeFor, type QuantisedBits, type QuantisedBlocks, quantiseBlocks } from './quantise.ts'
import { scalesName, zeroPointsName } from './quantised-tensor.ts'
import { castBytes } from './read-tensor.ts'
import { dtypeBits, isLoadable, type StoredDType } from './tensor.ts'
import { streamBytes, type TensorStream } from './tensor-stream.ts'

export interface QuantiseSettings {
  readonly bits: QuantisedBits
  /** Wanted elements per block: a power of two from 16 on. Rows that it does not divide get smaller blocks. Default: `blockSizeOf`. */
  readonly blockSize?: number | undefined
}

/** Which matrices become integers: all of them, in so many bits; or `stored`, those whose file holds integers, as it holds them. */
export type WeightSettings = QuantiseSettings | 'stored'

/** Large blocks are the fastest (engine's own figures and ours: docs/quantisation.md), and at 8 bits lose next to nothing. */
export const defaultBlockSize = 128

/** At 4 bits what is lost halves from blocks of 64 or 128 to those of 32, for a third more time. */
export const blockSizeOf = ({ bits, blockSize }: QuantiseSettings): number => blockSize ?? { 8: defaultBlockSize, 4: 32 }[bits]

/** A matrix that becomes blocks, and what it takes. */
export interface QuantisedPart extends CarriedFormat {
  readonly name: string
  readonly elements: number
  /** Of data, scales and zero points. */
  readonly bytes: number
  /** The type whose integers are kept; undefined where floats were rounded. */
  readonly carried?: GgmlType | undefined
}

export interface QuantisedTensors {
  readonly tensors: readonly (TensorStream | GgufStream)[]
  readonly parts: readonly QuantisedPart[]
  /** Of each part, what makes its tensors together, and those tensors. */
  readonly matrices: readonly Matrix[]
}

/**
 * Quantises the matrices of the backbone, its embedding among them, and those of an aggregator. Embedding, output matrix and
 * aggregator take 8 bits always: at 4, the first two of SmolLM2 alone would lose as much as all others together at blocks of 32.
 * Norms, biases, prefixes, adapters, and matrices whose rows no block divides stay as they are.
 *
 * @param streams of a folder or a GGUF file, under Hugging Face's names; an output matrix that is the embedding is left out
 * @param file names the model in errors
 * @throws checkpoint error for a tensor that is missing or has another shape than config.json asks for; chunks throw for
 *   numbers that are not finite
 */
export function quantisedTensors(
  streams: readonly (TensorStream | GgufStream)[],
  config: ModelConfig,
  tied: boolean,
  settings: WeightSettings,
  file: string,
): QuantisedTensors {
  const used = tied ? streams.filter(({ name }) => name !== 'lm_head.weight') : streams
  return quantiseParameters(used, [...backboneParameters(config, tied), ...storedStreams(streams, config)], settings, file)
}

/**
 * The same of a stream set that is stored without its backbone: its aggregator.
 *
 * @param streams what `streamParameters` names, and nothing else
 */
export const quantisedStreamSet = (
  streams: readonly TensorStream[],
  config: ModelConfig,
  settings: WeightSettings,
  file: string,
): QuantisedTensors => quantiseParameters(streams, storedStreams(streams, config), settings, file)

/** A GGUF file has none: what is missing elsewhere is told by who opens a checkpoint. */
function storedStreams(streams: readonly TensorStream[], config: ModelConfig): Parameter[] {
  const names = new Set(streams.map(({ name }) => name))
  return streamParameters(config).filter(({ name }) => names.has(name))
}

/** The blocks that a tensor of floats is cut into where `settings` are asked for; undefined where it stays as it is. */
export function blocksOf(parameter: Parameter, settings: QuantiseSettings): BlockShape | undefined {
  const { part, shape } = parameter
  if (!isMatrix(parameter)) return undefined
  const blockSize = blockSizeFor(shape[1]!, blockSizeOf(settings))
  return blockSize === undefined ? undefined : { bits: part === 'attention' || part === 'mlp' ? settings.bits : 8, blockSize }
}

const isMatrix = ({ part, shape }: Parameter): boolean => shape.length === 2 && part !== 'prefix' && part !== 'norm'

function quantiseParameters(
  streams: readonly (TensorStream | GgufStream)[],
  parameters: readonly Parameter[],
  settings: WeightSettings,
  file: string,
): QuantisedTensors {
  const byName = new Map(streams.map((stream) => [stream.name, stream]))
  const matrices: Matrix[] = []
  const groups = new Map<string, Matrix[]>()
  for (const parameter of parameters) {
    const stream = requireStream(byName, parameter, file)
    const matrix = isLoadable(stream) && isMatrix(parameter) ? quantisedMatrix(stream, parameter, settings) : undefined
    if (!matrix) continue
    byName.delete(parameter.name)
    matrices.push(matrix)
    const group = parameter.name.replace(/[qkv]_proj/, 'qkv').replace(/(gate|up)_proj/, 'gate_up')
    groups.set(group, [...(groups.get(group) ?? []), matrix])
  }
  const quantised = [...groups.values()].flatMap((group) =>
    (['data', 'scales', 'zeroPoints'] as const).flatMap((part) => group.flatMap((matrix) => matrix[part] ?? [])),
  )
  const others = [...byName.values()].sort((a, b) => dtypeBits[b.dtype] - dtypeBits[a.dtype])
  return { tensors: [...quantised, ...others], parts: matrices.map(({ part }) => part), matrices }
}

function requireStream(streams: ReadonlyMap<string, TensorStream>, { name, shape }: Parameter, file: string): TensorStream {
  const stream = streams.get(name)
  if (stream?.shape.join() === shape.join()) return stream
  const found = stream ? `has shape [${stream.shape}]` : 'is missing'
  throw checkpointError(`${file}: tensor ${name} ${found}; config.json asks for it with shape [${shape}]`, {
    file,
    tensor: name,
    expected: shape,
    found: stream?.shape,
  })
}

/** A matrix on its way: its tensors one by one, or all of them in the pieces that they are made in. */
export interface Matrix {
  readonly part: QuantisedPart
  /** Where its integers lie as they are; undefined where they are rounded. */
  readonly rows: StoredRows | undefined
  /** Where what is rounded lies. */
  readonly changedRows: StoredRows | undefined
  pieces(): AsyncIterable<QuantisedBlocks>
  readonly data: TensorStream
  readonly scales: TensorStream
  readonly zeroPoints?: TensorStream | undefined
}

/** Undefined for what stays as it is. */
function quantisedMatrix(
  stream: TensorStream<StoredDType> | GgufStream,
  parameter: Parameter,
  settings: WeightSettings,
): Matrix | undefined {
  const { name, shape } = stream
  const wanted = settings === 'stored' ? undefined : blocksOf(parameter, settings)
  const carried =
    'type' in stream && (wanted || settings === 'stored') ? carriedFormat(stream.type, wanted?.bits ?? 8) : undefined
  const format = carried ?? (wanted && { ...wanted, zeroPoints: false })
  if (!format) return undefined
  const pieces = carried ? () => carriedPieces(stream as GgufStream) : () => roundedPieces(stream, format)
  const streams = matrixStreams(name, shape, format, pieces)
  const bytes = Object.values(streams).reduce((sum, part) => sum + (part ? streamBytes(part) : 0), 0)
  const type = carried && (stream as GgufStream).type
  const part = { ...format, name, elements: elementCount(shape), bytes, carried: type }
  return {
    part,
    ...(carried ? { rows: stream.rows, changedRows: undefined } : { rows: undefined, changedRows: stream.rows }),
    pieces,
    ...streams,
  }
}

async function* carriedPieces({ name, type, blocks }: GgufStream): AsyncGenerator<QuantisedBlocks> {
  for await (const bytes of blocks()) {
    const piece = carryBlocks(type, bytes)
    for (const numbers of [piece.scales, piece.zeroPoints ?? []])
      for (const x of numbers)
        if (!Number.isFinite(x))
          throw checkpointError(`tensor ${name} holds a scale that is not finite; the file is damaged`, { tensor: name })
    yield piece
  }
}

async function* roundedPieces(
  { name, dtype, chunks }: TensorStream<StoredDType>,
  format: CarriedFormat,
): AsyncGenerator<QuantisedBlocks> {
  let done = 0
  for await (const bytes of wholeBlocks(chunks(), (format.blockSize * dtypeBits[dtype]) / 8)) {
    const wide = castBytes(bytes, dtype, 'F32')
    const values = new Float32Array(wide.buffer, wide.byteOffset, wide.byteLength / 4)
    yield quantiseBlocks(values, format, name, done)
    done += values.length
  }
}

/** The same bytes, cut at the ends of blocks and copied, so that they are aligned. */
async function* wholeBlocks(chunks: AsyncIterable<Uint8Array>, blockBytes: number): AsyncGenerator<Uint8Array> {
  let rest = new Uint8Array(0)
  for await (const bytes of chunks) {
    const joined = new Uint8Array(rest.length + bytes.length)
    joined.set(rest)
    joined.set(bytes, rest.length)
    const whole = joined.length - (joined.length % blockBytes)
    if (whole > 0) yield joined.subarray(0, whole)
    rest = joined.slice(whole)
  }
}

/**
 * The parts of a matrix, each a tensor of its own. All come of one reading: while the data pass, scales and zero points are
 * kept until they are asked for.
 */
function matrixStreams(
  name: string,
  [rows, rowElements]: readonly number[],
  { bits, blockSize, zeroPoints }: CarriedFormat,
  pieces: () => AsyncIterable<QuantisedBlocks>,
): Omit<Matrix, 'part' | 'rows' | 'changedRows' | 'pieces'> {
  const blocks = rowElements! / blockSize
  let kept: { scales?: Float32Array[] | undefined; zeroPoints?: Float32Array[] | undefined } = {}
  async function* data() {
    const seen = { scales: [] as Float32Array[], zeroPoints: [] as Float32Array[] }
    for await (const piece of pieces()) {
      seen.scales.push(piece.scales)
      if (piece.zeroPoints) seen.zeroPoints.push(piece.zeroPoints)
      yield piece.data
    }
    kept = seen
  }
  async function* perBlock(part: 'scales' | 'zeroPoints') {
    if (!kept[part]) for await (const _ of data());
    const arrays = kept[part]!
    kept = { ...kept, [part]: undefined }
    for (const { buffer, byteOffset, byteLength } of arrays) yield new Uint8Array(buffer, byteOffset, byteLength)
  }
  const shape = [rows!, blocks]
  return {
    data: { name, dtype: 'U8', shape: [...shape, (blockSize * bits) / 8], chunks: data },
    scales: { name: scalesName(name), dtype: 'F32', shape, chunks: () => perBlock('scales') },
    zeroPoints: zeroPoints
      ? { name: zeroPointsName(name), dtype: 'F32', shape, chunks: () => perBlock('zeroPoints') }
      : undefined,
  }
}
