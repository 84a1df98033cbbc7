/**
 * How a quantised matrix lies in a checkpoint, and how its parts are found again. X.weight [N, K] is U8
 * [N, K / blockSize, blockSize * bits / 8], with X.weight_scales F32 [N, K / blockSize] and, where zeros differ from the middle,
 * X.weight_zero_points: F32 of the same shape, or U8, packed as the data are. docs/quantisation.md describes the format.
 */
import { z } from 'zod'
import { checkpointError, unsupportedError } from '../errors.ts'
import { elementCount } from '../model/parameters.ts'
import { safeParse } from '../safe-parse.ts'
import { type BlockShape, type QuantisedBits, smallestBlock } from './quantise.ts'
import { countNonFinite, readChunks } from './read-tensor.ts'
import { type AnyDType, type CheckpointTensors, dtypeBits, type StoredTensor } from './tensor.ts'

export const scalesName = (weight: string): string => `${weight}_scales`
export const zeroPointsName = (weight: string): string => `${weight}_zero_points`

/** Raised when folders are written in another way, so that older ones are not misread. */
export const quantisedFormatVersion = 2

const method = 'parscale'

const schema = z.looseObject({
  quant_method: z.literal(method),
  format_version: z.literal(quantisedFormatVersion),
  bits: z.union([z.literal(4), z.literal(8)]),
  block_size: z.int().min(smallestBlock),
  source_backbone_sha256: z.string().optional(),
})

/** What config.json says of how its model was quantised. */
export interface Quantisation extends BlockShape {
  /** The digest of the backbone that it was made from: stream sets that were trained on that one fit this one. */
  readonly sourceBackboneDigest?: string | undefined
}

/** The value of `quantization_config`. */
export const quantisationJson = ({ bits, blockSize, sourceBackboneDigest }: Quantisation): Readonly<Record<string, unknown>> => ({
  quant_method: method,
  format_version: quantisedFormatVersion,
  bits,
  block_size: blockSize,
  source_backbone_sha256: sourceBackboneDigest,
})

/**
 * Undefined where the model is not quantised.
 *
 * @param json config.json as parsed
 * @throws unsupported error when others quantised it, or another version of this program; checkpoint error for wrong values
 */
export function quantisationOf(json: Readonly<Record<string, unknown>>, file = 'config.json'): Quantisation | undefined {
  const value = json.quantization_config
  if (value == null) return undefined
  const { quant_method: found, format_version: version } = value as Record<string, unknown>
  if (found !== method) {
    throw unsupportedError(
      `${file}: the weights are quantised (quantization_config, ${found ?? 'method not named'}), which is not supported; use the F32, F16 or BF16 checkpoint, or a GGUF file`,
      { file, found },
    )
  }
  if (version !== quantisedFormatVersion) {
    throw unsupportedError(
      `${file}: quantised in format ${JSON.stringify(version)}, this version reads format ${quantisedFormatVersion}; quantise the model anew: parscale quantize`,
      { file, expected: quantisedFormatVersion, found: version },
    )
  }
  const parsed = safeParse(schema, value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw checkpointError(`${file}: quantization_config.${issue.path.join('.')}: ${issue.message}`, { file, found: issue })
  }
  const { bits, block_size: blockSize, source_backbone_sha256: sourceBackboneDigest } = parsed.data
  return { bits, blockSize, sourceBackboneDigest }
}

/** A quantised matrix and where its parts lie. */
export interface QuantisedTensor extends BlockShape {
  readonly data: StoredTensor<'U8'>
  readonly scales: StoredTensor
  readonly zeroPoints?: StoredTensor<AnyDType> | undefined
}

type Tensors = Pick<CheckpointTensors, 'tensors' | 'otherTensors'>

/**
 * The quantised matrix of this name; undefined where the checkpoint has none. Bits and block size follow from the shapes.
 *
 * @param shape [N, K], as config.json asks for it
 * @throws checkpoint error naming the tensor whose type or shape is wrong, or that is missing
 */
export function findQuantised(
  { tensors, otherTensors }: Tensors,
  name: string,
  shape: readonly number[],
): QuantisedTensor | undefined {
  const data = otherTensors.get(name)
  if (data?.dtype !== 'U8') return undefined
  const file = data.source.name
  const fail = (tensor: string, expected: string, found: StoredTensor<AnyDType> | undefined) =>
    checkpointError(
      `${file}: tensor ${tensor} should be ${expected}, ${found ? `got ${found.dtype} [${found.shape}]` : 'and is missing'}; quantise the model anew`,
      { file, tensor, expected, found: found && { dtype: found.dtype, shape: found.shape } },
    )
  const [N, K] = shape as [number, number]
  const blocks = data.shape[1] ?? 0
  const [blockSize, bits] = [K / blocks, (data.shape[2]! * 8 * blocks) / K]
  if (data.shape.length !== 3 || data.shape[0] !== N || !isBlockSize(blockSize) || !isBits(bits)) {
    throw fail(name, `[${N}, ${K}] in blocks of a power of two from ${smallestBlock} on, 4 or 8 bits each`, data)
  }
  const scales = tensors.get(scalesName(name))
  if (scales?.dtype !== 'F32' || scales.shape.join() !== [N, blocks].join()) {
    throw fail(scalesName(name), `F32 [${N}, ${blocks}]`, scales ?? otherTensors.get(scalesName(name)))
  }
  const zeroPoints = tensors.get(zeroPointsName(name)) ?? otherTensors.get(zeroPointsName(name))
  if (zeroPoints) {
    const packed = Math.ceil((blocks * bits) / 8)
    const fits = { F32: [N, blocks].join(), U8: [N, packed].join() }[zeroPoints.dtype as 'F32' | 'U8'] === zeroPoints.shape.join()
    if (!fits) throw fail(zeroPointsName(name), `F32 [${N}, ${blocks}] or U8 [${N}, ${packed}]`, zeroPoints)
  }
  return { bits, blockSize, data: data as StoredTensor<'U8'>, scales, zeroPoints }
}

const isBlockSize = (size: number): boolean => size >= smallestBlock && Number.isInteger(Math.log2(size))
const isBits = (bits: number): bits is QuantisedBits => bits === 4 || bits === 8

/**
 * Bytes of each quantised matrix with its scales and zero points, by the matrix's name.
 *
 * @param tensors a checkpoint's, or those that one will have
 */
export function quantisedBytes(
  tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>,
): Map<string, number> {
  const bytes = (name: string) => {
    const tensor = tensors.get(name)
    return tensor ? (elementCount(tensor.shape) * dtypeBits[tensor.dtype as AnyDType]) / 8 : 0
  }
  const matrices = [...tensors].filter(([name, { dtype }]) => dtype === 'U8' && tensors.has(scalesName(name)))
  return new Map(matrices.map(([name]) => [name, bytes(name) + bytes(scalesName(name)) + bytes(zeroPointsName(name))]))
}

/** Reads scales and zero points, which decide whether anything finite can come out. @throws checkpoint error naming the tensor */
export async function requireFiniteBlocks({ scales, zeroPoints }: QuantisedTensor): Promise<void> {
  if (scales.source.madeFrom) return // who makes them looks at them
  for (const tensor of [scales, ...(zeroPoints?.dtype === 'F32' ? [zeroPoints] : [])]) {
    let bad = 0
    for await (const bytes of readChunks(tensor)) bad += countNonFinite(bytes, 'F32')
    if (bad === 0) continue
    const file = tensor.source.name
    throw checkpointError(
      `${file}: tensor ${tensor.name}: ${bad} of its numbers are not finite; quantise the model anew: parscale quantize`,
      { file, tensor: tensor.name, expected: 'finite numbers', found: bad },
    )
  }
}
