/** Typed graphs, written as ONNX. A promised subpath: names come and go with major versions only. */
export { type Graph, GraphBuilder, type Value, writeOnnx } from '../graph/index.ts'
