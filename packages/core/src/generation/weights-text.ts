/** Says how a model's weights are stored. */
import { isTied, type ModelConfig, quantisedBytes } from '../checkpoint/index.ts'
import { backboneParameters, elementCount } from '../model/index.ts'

interface WeightHeaders {
  readonly config: ModelConfig
  readonly tensors: TensorHeaders
  readonly otherTensors?: TensorHeaders
}
type TensorHeaders = ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>

/** How the weights of most of a backbone's layers are stored, in a word or two: `4 bits`, `float32`. From headers alone. */
export function weightsText({ config, tensors, otherTensors = new Map() }: WeightHeaders): string {
  const all = new Map([...tensors, ...otherTensors])
  const quantised = quantisedBytes(all)
  const elements = new Map<string, number>()
  for (const { name, shape, part } of backboneParameters(config, isTied({ config, tensors, otherTensors }))) {
    const tensor = all.get(name)
    // What an output matrix or an embedding takes says little of how fast a model is.
    if (shape.length !== 2 || (part !== 'attention' && part !== 'mlp') || !tensor) continue
    const [, , packed = 0] = tensor.shape
    const bits = quantised.has(name)
      ? `${(packed * 8 * tensor.shape[1]!) / shape[1]!} bits`
      : (floats[tensor.dtype] ?? tensor.dtype)
    elements.set(bits, (elements.get(bits) ?? 0) + elementCount(shape))
  }
  return [...elements].sort(([, a], [, b]) => b - a)[0]?.[0] ?? 'float32'
}

const floats: Readonly<Record<string, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }
