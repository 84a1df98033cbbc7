export { GraphBuilder } from './builder.ts'
export { opset, type WriteOptions, writeOnnx } from './onnx-writer.ts'
export type { OpName } from './ops.ts'
export type { Attribute, Dim, DType, ExternalData, Graph, Initializer, Node, Shape, Value } from './types.ts'
