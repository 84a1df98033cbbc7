/** A graph of one's own: typed values, ONNX bytes, a session of ONNX Runtime. */
import { GraphBuilder, writeOnnx } from '@parscale/core/graph'
import { Tensor } from 'onnxruntime-common'
import { onnxRuntime } from 'parscale'

const graph = new GraphBuilder('affine')
const x = graph.input('x', 'float32', ['rows', 2])
const weight = graph.input('weight', 'float32', [2, 3])
graph.output(graph.matMul(x, weight), 'y')
const built = graph.build()
console.log('ONNX model of', writeOnnx(built).byteLength, 'bytes')

const session = await onnxRuntime({ threads: 1 }).createSession(built)
const y = await session.run({
  x: new Tensor('float32', Float32Array.of(1, 2), [1, 2]),
  weight: new Tensor('float32', Float32Array.of(1, 0, 3, 0, 1, 4), [2, 3]),
})
console.log(y.y!.dims, y.y!.data)
await session.dispose()
