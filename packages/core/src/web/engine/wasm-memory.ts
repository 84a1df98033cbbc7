/**
 * Memory inside of onnxruntime-web's WASM module, from which it reads tensors where they lie. Of its own accord it copies every
 * tensor that it is fed into the module: keys and values of 2,000 tokens at each step.
 *
 * Its module is not handed out, so it is caught while it is made; and of the places that a tensor may have, one that the WASM build
 * has no use for (`ml-tensor`) stands for addresses. Where a version does not have what this needs, there is no such memory, and
 * tensors are copied as before.
 */
import type * as Ort from 'onnxruntime-common'
import type { InferenceSession, Tensor } from 'onnxruntime-common'
import type { TensorMemory } from '../../runtime/index.ts'

export interface WasmMemory extends TensorMemory {
  /** The feeds, those that lie in this memory as what the engine takes for them. */
  inPlace(feeds: InferenceSession.FeedsType): InferenceSession.FeedsType
}

/** What is used of the module. */
interface WasmModule {
  readonly PTR_SIZE: number
  readonly HEAPU8: Uint8Array<ArrayBufferLike>
  _malloc(bytes: number): number
  _free(address: number): void
  _OrtCreateTensor(type: number, data: number, bytes: number, dims: number, rank: number, place: number): number
  webnnRegisterMLTensor?: (session: number, tensor: Place) => number
}

interface Place {
  readonly address: number
}

/** onnxruntime-web's numbers of places. */
const [onCpu, asMlTensor] = [1, 5]

/** The module makes this property first; nothing else has it. */
const early = 'mountExternalData'

/**
 * Runs what makes the module, which happens once in a thread.
 *
 * @param make creates the first session
 * @returns what `make` gives, and the module, if one was made and could be caught
 */
export async function catchModule<T>(make: () => Promise<T>): Promise<{ made: T; module: object | undefined }> {
  let module: object | undefined
  Object.defineProperty(Object.prototype, early, {
    configurable: true,
    set(this: object, value: unknown) {
      module = this
      Object.defineProperty(this, early, { value, configurable: true, enumerable: true, writable: true })
    },
  })
  try {
    return { made: await make(), module }
  } finally {
    delete (Object.prototype as Record<string, unknown>)[early]
  }
}

/** Undefined where the module is not as expected. */
export function wasmMemory(ort: typeof Ort, caught: object | undefined): WasmMemory | undefined {
  const module = caught as WasmModule | undefined
  const needed = ['_malloc', '_free', '_OrtCreateTensor'] as const
  if (module?.PTR_SIZE !== 4 || !module.HEAPU8 || !needed.every((name) => typeof module[name] === 'function')) return undefined
  // A build with WebNN has another use for it.
  if (module.webnnRegisterMLTensor || !ort.Tensor.fromMLTensor) return undefined
  const create = module._OrtCreateTensor
  module.webnnRegisterMLTensor = (_session, { address }) => address
  module._OrtCreateTensor = (type, data, bytes, dims, rank, place) =>
    create(type, data, bytes, dims, rank, place === asMlTensor ? onCpu : place)
  // A module that grows has a new buffer over the same memory; arrays over the old one stay right.
  const buffers = new WeakSet<ArrayBufferLike>()
  return {
    allocate(byteLength) {
      const address = module._malloc(Math.max(1, byteLength)) >>> 0
      if (address === 0) return undefined
      const { buffer } = module.HEAPU8
      buffers.add(buffer)
      return new Uint8Array(buffer, address, byteLength).fill(0)
    },
    free: ({ byteOffset }) => module._free(byteOffset),
    inPlace(feeds) {
      const result: Record<string, InferenceSession.FeedsType[string]> = {}
      for (const [name, feed] of Object.entries(feeds)) {
        const { type, dims, data } = feed as Tensor
        const bytes = data as Uint8Array
        result[name] =
          buffers.has(bytes.buffer) && bytes.byteLength > 0
            ? ort.Tensor.fromMLTensor({ address: bytes.byteOffset } as unknown as Tensor.MLTensorType, {
                dataType: type as Tensor.MLTensorDataTypes,
                dims,
              })
            : feed!
      }
      return result
    },
  }
}
