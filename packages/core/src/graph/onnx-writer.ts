/**
 * Writes a graph as an ONNX ModelProto. Field numbers are those of onnx.proto (IR version 10, opset 23).
 * Weights are not copied: they become external data, a file name with offset and length.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { onnxTypes } from './builder.ts'
import { contributed } from './ops.ts'
import type { Attribute, ExternalData, Graph, Initializer, Node, Value } from './types.ts'

const irVersion = 10
export const opset = 23
const contributedDomain = 'com.microsoft'

export interface WriteOptions {
  /** The `location` to write for an external file: a path relative to the folder that the engine is told. Default: the path as it is. */
  readonly location?: (path: string) => string
}

/** The bytes of the model file. Small: everything large is external. */
export function writeOnnx(graph: Graph, options: WriteOptions = {}): Uint8Array {
  const location = options.location ?? ((path: string) => path)
  const w = new BinaryWriter()
  int64Field(w, 1, irVersion)
  stringField(w, 2, 'parscale')
  message(w, 7, () => {
    for (const node of graph.nodes) message(w, 1, () => writeNode(w, node))
    stringField(w, 2, graph.name)
    for (const initializer of graph.initializers) message(w, 5, () => writeTensor(w, initializer, location))
    for (const value of graph.inputs) message(w, 11, () => writeValueInfo(w, value))
    for (const value of graph.outputs) message(w, 12, () => writeValueInfo(w, value))
  })
  message(w, 8, () => {
    stringField(w, 1, '')
    int64Field(w, 2, opset)
  })
  if (graph.nodes.some(({ op }) => contributed.has(op))) {
    message(w, 8, () => {
      stringField(w, 1, contributedDomain)
      int64Field(w, 2, 1)
    })
  }
  return w.finish()
}

function writeNode(w: BinaryWriter, node: Node): void {
  for (const input of node.inputs) stringField(w, 1, input?.name ?? '')
  for (const output of node.outputs) stringField(w, 2, output.name)
  stringField(w, 3, node.name)
  stringField(w, 4, node.op)
  if (contributed.has(node.op)) stringField(w, 7, contributedDomain)
  for (const [name, value] of Object.entries(node.attributes)) message(w, 5, () => writeAttribute(w, name, value))
}

/** AttributeProto; `type` is 1 float, 2 int, 3 string, 7 ints. */
function writeAttribute(w: BinaryWriter, name: string, value: Attribute): void {
  stringField(w, 1, name)
  if (typeof value === 'number') {
    int64Field(w, 3, value)
    int64Field(w, 20, 2)
  } else if (typeof value === 'string') {
    stringField(w, 4, value)
    int64Field(w, 20, 3)
  } else if ('float' in value) {
    w.tag(2, WireType.Bit32).float(value.float)
    int64Field(w, 20, 1)
  } else {
    for (const item of value) int64Field(w, 8, item)
    int64Field(w, 20, 7)
  }
}

/** TensorProto, with its bytes inside (raw_data) or outside (external_data). */
function writeTensor(w: BinaryWriter, { value, data }: Initializer, location: (path: string) => string): void {
  for (const dim of value.shape) int64Field(w, 1, dim as number)
  int64Field(w, 2, onnxTypes[value.dtype])
  stringField(w, 8, value.name)
  if (data instanceof Uint8Array) {
    w.tag(9, WireType.LengthDelimited).bytes(data)
    return
  }
  const entries: Record<string, string> = externalEntries(data, location)
  for (const [key, text] of Object.entries(entries)) {
    message(w, 13, () => {
      stringField(w, 1, key)
      stringField(w, 2, text)
    })
  }
  int64Field(w, 14, 1)
}

function externalEntries(data: ExternalData, location: (path: string) => string): Record<string, string> {
  return { location: location(data.path), offset: String(data.offset), length: String(data.byteLength) }
}

/** ValueInfoProto: a name with element type and shape; symbols become dim_param. */
function writeValueInfo(w: BinaryWriter, value: Value): void {
  stringField(w, 1, value.name)
  message(w, 2, () =>
    message(w, 1, () => {
      int64Field(w, 1, onnxTypes[value.dtype])
      message(w, 2, () => {
        for (const dim of value.shape) {
          message(w, 1, () => (typeof dim === 'number' ? int64Field(w, 1, dim) : stringField(w, 2, dim)))
        }
      })
    }),
  )
}

function message(w: BinaryWriter, field: number, body: () => void): void {
  w.tag(field, WireType.LengthDelimited).fork()
  body()
  w.join()
}

function int64Field(w: BinaryWriter, field: number, value: number): void {
  w.tag(field, WireType.Varint).int64(value)
}

function stringField(w: BinaryWriter, field: number, value: string): void {
  w.tag(field, WireType.LengthDelimited).string(value)
}
