/**
 * From stored tensors to graph values, never copied. What is stored in a narrower float is widened to float32; quantised
 * matrices stay as they are, for operators that multiply with them.
 */
import { checkpointError } from '../errors.ts'
import type { DType, ExternalData, GraphBuilder, QuantisedMatrix, Value } from '../graph/index.ts'

/** Rows of a matrix as a file of another format stores them, one after the other; a number of a vector is a row. */
export interface StoredRows {
  readonly path: string
  /** Of the first row in the file. */
  readonly offset: number
  /** ggml's number of the type (checkpoint/gguf/blocks.ts). */
  readonly type: number
  readonly rowBytes: number
  /** Rows of a head whose halves are interleaved: its row 2 j + s is number s * rows / 2 + j. 0: none. */
  readonly interleaved: number
}

/** Where a weight's bytes lie: in a file at `path`; or nowhere, where `made` makes them while they are read. */
export interface StoredData extends ExternalData {
  readonly made?:
    | {
        /** The files that they are made of. */
        readonly madeFrom?: readonly string[]
        /** What they are made of, where that is the same numbers: for who can take those as they are. */
        readonly rows?: StoredRows | undefined
        /** What they are made of, where the numbers become others: floats that are rounded, or integers that are widened. */
        readonly changedRows?: StoredRows | undefined
        read(offset: number, length: number): Promise<Uint8Array>
      }
    | undefined
}

export interface PlainWeight {
  readonly dtype: DType
  readonly data: StoredData
}

/** A matrix [N, K] in blocks along K; where its parts lie. Their types and layouts are those of QuantisedMatrix. */
export interface QuantisedWeight {
  readonly bits: 4 | 8
  readonly blockSize: number
  readonly data: StoredData
  /** float32 */
  readonly scales: StoredData
  /** float32 (GGUF types with a minimum): [N, K / blockSize], which need not be whole numbers. */
  readonly zeroPoints?: { readonly dtype: 'uint8' | 'float32'; readonly data: StoredData } | undefined
  /** The same matrix in float32, for products: of engines that have no good kernel for quantised ones. Rows are looked up as stored. */
  readonly inFull?: StoredData | undefined
}

export type StoredWeight = PlainWeight | QuantisedWeight

export const isQuantised = (weight: StoredWeight): weight is QuantisedWeight => 'blockSize' in weight

/**
 * Some rows of a stored matrix of `total` rows, or elements of a vector, which are a stored tensor themselves: a row is whole
 * bytes of each of its parts.
 */
export function storedRows(weight: StoredWeight, total: number, first: number, count: number): StoredWeight {
  const of = (data: StoredData): StoredData => {
    const rowBytes = data.byteLength / total
    return { ...data, offset: data.offset + first * rowBytes, byteLength: count * rowBytes }
  }
  if (!isQuantised(weight)) return { ...weight, data: of(weight.data) }
  const { data, scales, zeroPoints, inFull } = weight
  return {
    ...{ ...weight, data: of(data), scales: of(scales) },
    zeroPoints: zeroPoints && { ...zeroPoints, data: of(zeroPoints.data) },
    inFull: inFull && of(inFull),
  }
}

/** Finds a tensor of a checkpoint; throws, naming it, when there is none of that name and shape. */
export type FindWeight = (name: string, shape: readonly number[]) => StoredWeight

/** The weights of a graph by name; all throw when the checkpoint has none of that name and shape. */
export interface Weights {
  /** In float32, or as it is stored; not for quantised matrices. */
  (name: string, shape: readonly number[], as?: 'float32' | 'stored'): Value
  /**
   * Quantised matrices [N, K] of equal K as one, one's rows behind the other's; undefined when they are stored in full, or do not
   * lie side by side in their file. Absent where all weights are stored in full, as in training.
   */
  readonly quantised?: (matrices: readonly NamedMatrix[], use: MatrixUse) => MatrixWithOffsets | undefined
}

export interface NamedMatrix {
  readonly name: string
  /** [N, K] */
  readonly shape: readonly [number, number]
}

/** Zero points that are no whole numbers are beyond the operators: they become what has to be added to each block. */
export interface MatrixWithOffsets {
  readonly matrix: QuantisedMatrix
  /** Added to all elements of a block: float32 [N, K / blockSize]. Absent: nothing. */
  readonly offsets: Value | undefined
}

/** What a quantised matrix is read by: a product, or a look-up of rows, which asks for the same bytes as [N, K * bits / 8]. */
export type MatrixUse = 'product' | 'rows'

/**
 * Weights of `g` that lie in files. Each is read where it lies; a Cast to float32 follows where it is stored in a narrower
 * float, which the engine folds at load.
 */
export function externalWeights(g: GraphBuilder, find: FindWeight): Weights {
  const stored = new Map<string, Value>()
  const widened = new Map<string, Value>()
  const plain = (name: string, shape: readonly number[], as: 'float32' | 'stored' = 'float32') => {
    let value = stored.get(name)
    if (!value) {
      const found = inFloats(inFile(find(name, shape)))
      if (isQuantised(found)) {
        throw checkpointError(
          `${found.data.path}: tensor ${name} is quantised to ${found.bits} bits, and is needed in full here; use the model that it was made from`,
          { file: found.data.path, tensor: name },
        )
      }
      value = g.weight(name, found.dtype, shape, found.data)
      stored.set(name, value)
    }
    if (as === 'stored') return value
    let wide = widened.get(name)
    if (!wide) {
      wide = g.cast(value, 'float32')
      widened.set(name, wide)
    }
    return wide
  }
  const quantised: Weights['quantised'] = (matrices, use) => {
    const found = matrices.map(({ name, shape }) => inFile(find(name, shape)))
    if (use === 'product' && found.some((weight) => isQuantised(weight) && weight.inFull)) return undefined
    const joined = found.every(isQuantised) ? sideBySide(found) : undefined
    const rows = matrices.reduce((sum, { shape }) => sum + shape[0], 0)
    return joined && quantisedMatrix(g, matrices.map(({ name }) => name).join('+'), [rows, matrices[0]!.shape[1]], joined, use)
  }
  return Object.assign(plain, { quantised })
}

function inFile(weight: StoredWeight): StoredWeight {
  if (weight.data.made)
    throw new TypeError(`${weight.data.path}: a graph maps its weights from files, and these are made while they are read`)
  return weight
}

const inFloats = (weight: StoredWeight): StoredWeight =>
  isQuantised(weight) && weight.inFull ? { dtype: 'float32', data: weight.inFull } : weight

/** Matrices as one, if all their parts lie in one file, each directly behind that of the one before. */
function sideBySide(matrices: readonly QuantisedWeight[]): QuantisedWeight | undefined {
  const [{ bits, blockSize, zeroPoints }] = matrices as [QuantisedWeight]
  if (matrices.some((m) => m.bits !== bits || m.blockSize !== blockSize || m.zeroPoints?.dtype !== zeroPoints?.dtype))
    return undefined
  const data = spanning(matrices.map((m) => m.data))
  const scales = spanning(matrices.map((m) => m.scales))
  const zeros = zeroPoints && spanning(matrices.map((m) => m.zeroPoints!.data))
  if (!data || !scales || (zeroPoints && !zeros)) return undefined
  return { bits, blockSize, data, scales, zeroPoints: zeros && { dtype: zeroPoints.dtype, data: zeros } }
}

function spanning(parts: readonly ExternalData[]): ExternalData | undefined {
  const [{ path, offset }] = parts as [ExternalData]
  let end = offset
  for (const part of parts) {
    if (part.path !== path || part.offset !== end) return undefined
    end += part.byteLength
  }
  return { path, offset, byteLength: end - offset }
}

function quantisedMatrix(
  g: GraphBuilder,
  name: string,
  [N, K]: readonly [number, number],
  { bits, blockSize, data, scales, zeroPoints }: QuantisedWeight,
  use: MatrixUse,
): MatrixWithOffsets {
  const blocks = K / blockSize
  const packed = (elements: number) => Math.ceil((elements * bits) / 8)
  const dataShape = use === 'rows' ? [N, packed(K)] : [N, blocks, packed(blockSize)]
  const inBlocks = {
    bits,
    blockSize,
    data: g.weight(name, 'uint8', dataShape, data),
    scales: g.weight(`${name}_scales`, 'float32', [N, blocks], scales),
  }
  if (!zeroPoints) return { matrix: inBlocks, offsets: undefined }
  const shape = [N, zeroPoints.dtype === 'uint8' ? packed(blocks) : blocks]
  const zeros = g.weight(`${name}_zero_points`, zeroPoints.dtype, shape, zeroPoints.data)
  if (zeroPoints.dtype === 'uint8') return { matrix: { ...inBlocks, zeroPoints: zeros }, offsets: undefined }
  // (q - zero) scale = (q - middle) scale + (middle - zero) scale; the engine works the second out at load.
  const offsets = g.mul(g.sub(g.scalar(2 ** (bits - 1)), zeros), inBlocks.scales)
  return { matrix: inBlocks, offsets }
}
