/** What the rooms above ask of an engine: sessions over graphs. Platforms hand one in (node/onnx-runtime.ts: ONNX Runtime on Node). */
import type { Tensor } from 'onnxruntime-common'
import type { Graph } from '../graph/index.ts'

export type { Decoder, DecoderOutput, DecoderRow, LogitsRoom, NormalisedLogits, RowCache } from './decoder.ts'

export const devices = ['cpu', 'webgpu', 'cuda'] as const
export type Device = (typeof devices)[number]

export interface Session {
  /**
   * Runs once; feeds and results by name. Typed arrays of CPU tensors are read and written in place, not copied.
   * Tensors on the device (`keepOnDevice`) are read where they are; whoever holds them disposes of them.
   *
   * @param outputs tensors to write results into, by name; one may be a feed of the
   *   same run only if that has a single reader and all from it to the output is elementwise. Other results are new
   * @param whole called while the run goes on with the name of an output that will not change any more, where the engine knows: of some, of all
   *   or of none of them
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    outputs?: Readonly<Record<string, Tensor>>,
    whole?: (output: string) => void,
  ): Promise<Readonly<Record<string, Tensor>>>
  /** Frees native memory. The session cannot be used afterwards. */
  dispose(): Promise<void>
}

export interface SessionOptions {
  /**
   * CPU: find the places of all values of a run before it, in one block. Default: true. Otherwise memory is handed out and
   * taken back node by node, which holds half as much where values differ in size and life, as in training.
   */
  readonly planMemory?: boolean
  /** Outputs that stay in the device's memory, to be fed to later runs of sessions of the same runtime; their data cannot be read. */
  readonly keepOnDevice?: readonly string[]
}

/** Memory of the engine's, for tensors that it reads at every run: what lies elsewhere it copies first. */
export interface TensorMemory {
  /** Zeros; undefined where there is not so much. */
  allocate(byteLength: number): Uint8Array<ArrayBufferLike> | undefined
  /** @param bytes what `allocate` gave, or a view of the same beginning */
  free(bytes: ArrayBufferView): void
}

/** float32 blocks in the memory of a device whose data nobody reads. What is asked for is done in order, between the runs of sessions. */
export interface DeviceMemory {
  /** Zeros. */
  allocate(elements: number): DeviceBlock
  /** `count` elements each, between different blocks. */
  copy(copies: readonly { from: DeviceBlock; at: number; to: DeviceBlock; place: number; count: number }[]): void
  /**
   * Writes tensors [R, K, T, D] of this device behind what rows hold: the first `rows[r].count` of row r's T places to those from
   * `rows[r].at` on in its block [rows, K, capacity, D]. What is NaN or infinite is written as 0.
   *
   * @returns the r in which something was not finite
   */
  append(
    parts: readonly { readonly from: Tensor; readonly to: DeviceBlock }[],
    capacity: number,
    rows: readonly { readonly at: number; readonly count: number }[],
  ): Promise<Set<number>>
}

export interface DeviceBlock {
  write(at: number, values: Float32Array): void
  /** Its first elements, where they lie. Needs no disposing. */
  tensor(shape: readonly number[]): Tensor
  /** Gives the device its memory back; the block cannot be used afterwards. */
  free(): void
}

export interface Runtime {
  readonly device: Device
  /** Threads of one operator on CPU; undefined: the engine's choice. */
  readonly threads: number | undefined
  /** Elementwise operators that follow each other are one pass over memory: there is no need to run a large graph piece by piece. */
  readonly fuses?: boolean
  /** Bytes that a session of this graph would take beside what it is fed. Absent or undefined: nobody can say before. */
  sessionBytes?(graph: Graph): number | undefined
  /** Only where the engine has any. */
  readonly memory?: TensorMemory | undefined
  /** Only where the device has a memory of its own, and lets it be written to. */
  readonly deviceMemory?: DeviceMemory | undefined
  /** Compiles a graph. Weights are read from the files that the graph points into. */
  createSession(graph: Graph, options?: SessionOptions): Promise<Session>
}
