/** Element types of graph values, as onnxruntime-common names them. */
export type DType = 'float32' | 'float64' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'int8' | 'uint8' | 'bool'

/**
 * A dimension: a number, or a symbol known at run time. Products of symbols are written `2*rows*tokens`
 * (see `product`), sums are symbols of their own (`capacity+tokens`).
 */
export type Dim = number | string
export type Shape = readonly Dim[]

/** A typed edge of the graph. */
export interface Value {
  readonly name: string
  readonly dtype: DType
  readonly shape: Shape
}

/** Raw little-endian bytes inside a file: an engine can map them, nobody needs to copy them. */
export interface ExternalData {
  /** Absolute path, or on platforms without files the name under which the engine is handed the bytes. */
  readonly path: string
  readonly offset: number
  readonly byteLength: number
}

/**
 * A matrix [N, K] in blocks along K: element = (q - zero point) * scale of its block. The layout is that of the operators
 * MatMulNBits and GatherBlockQuantized.
 */
export interface QuantisedMatrix {
  readonly bits: 4 | 8
  /** Elements that share a scale: a power of two, at least 16. */
  readonly blockSize: number
  /** uint8 [N, K / blockSize, blockSize * bits / 8]; of 4 bits, the first of two elements lies in the low nibble. */
  readonly data: Value
  /** float32 [N, K / blockSize] */
  readonly scales: Value
  /** uint8 [N, ceil(K / blockSize * bits / 8)], packed as the data. Absent: 2^(bits - 1). */
  readonly zeroPoints?: Value | undefined
}

export interface Initializer {
  readonly value: Value
  /** Bytes in the graph itself (small constants) or in a file (weights). */
  readonly data: Uint8Array | ExternalData
}

export type Attribute = number | readonly number[] | string | { readonly float: number }

export interface Node<Op extends string = string> {
  readonly name: string
  readonly op: Op
  readonly inputs: readonly (Value | null)[]
  readonly outputs: readonly Value[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** A finished graph, ready to be differentiated or written. Nodes are in topological order. */
export interface Graph<Op extends string = string> {
  readonly name: string
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly initializers: readonly Initializer[]
  readonly nodes: readonly Node<Op>[]
}
