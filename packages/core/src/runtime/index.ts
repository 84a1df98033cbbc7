/** What the rooms above ask of an engine: sessions over graphs. Platforms hand one in (parscale: ONNX Runtime on Node). */
import type { Tensor } from 'onnxruntime-common'
import type { Graph } from '../graph/index.ts'

export type Device = 'cpu' | 'webgpu' | 'cuda'

export interface Session {
  /**
   * Runs once; feeds and results by name. Typed arrays of CPU tensors are read and written in place, not copied.
   *
   * @param outputs tensors to write results into, by name; they must not be feeds of the same run. Other results are new
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: Readonly<Record<string, Tensor>>,
  ): Promise<Readonly<Record<string, Tensor>>>
  /** Frees native memory. The session cannot be used afterwards. */
  dispose(): Promise<void>
}

export interface Runtime {
  readonly device: Device
  /** Threads of one operator on CPU; undefined: the engine's choice. */
  readonly threads: number | undefined
  /** Compiles a graph. Weights are read from the files that the graph points into. */
  createSession(graph: Graph): Promise<Session>
}
