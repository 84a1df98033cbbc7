/**
 * One stream as a plain model, which any runtime runs: what its linear layers and norms have of their own goes into the weights.
 * From model/streams.ts, with x = r * input:
 *
 *   y = s * (W x + b) + B A x + c     is   (s W + B A) r  with bias  s b + c
 *   g * norm(x)                       is   a norm of weight  g w
 *
 * Exact but for the rounding of each number to float32. A prefix stands in no weight, so streams that have one cannot be folded. Biases
 * want a family that has them: where it has none of these, and is Llama in all else, the model becomes a `llama`.
 */
import { backboneDigestKey } from '../checkpoint/backbone-digest.ts'
import { parseModelConfig } from '../checkpoint/config.ts'
import { configJson } from '../checkpoint/config-json.ts'
import { requireFinite } from '../checkpoint/finite.ts'
import { jsonBytes } from '../checkpoint/json-text.ts'
import { quantisationOf } from '../checkpoint/quantised-tensor.ts'
import { castBytes } from '../checkpoint/read-tensor.ts'
import { isLoadable, type StoredDType } from '../checkpoint/tensor.ts'
import type { TensorStream } from '../checkpoint/tensor-stream.ts'
import { usageError } from '../errors.ts'
import {
  backboneParameters,
  biasName,
  elementCount,
  families,
  gainName,
  hasStreams,
  inputScaleName,
  type LayerTensor,
  type LinearRole,
  layerTensors,
  linearInputs,
  linearRoles,
  loraName,
  type ModelConfig,
  outputScaleName,
  parscaleConfig,
  plainFeatures,
  streamParameters,
} from '../model/index.ts'
import type { FolderContents } from './folder-contents.ts'
import { type ModelContents, tiedOf } from './model-contents.ts'

/**
 * @param set whose stream it is: the model itself, or one of its stream sets
 * @param stream from 1; absent: the only one
 * @returns the plain model; what was folded is F32, the rest as stored
 * @throws usage error where there is no such stream, where it has a prefix, for quantised weights, and for biases that the family has no place for
 */
export function foldedContents(model: ModelContents, set: ModelContents, stream?: number): FolderContents {
  const { parscale } = set.config
  const refuse = (what: string, flag = 'fold') => usageError(`${set.path}: ${what}`, { file: set.path, flag })
  if (!hasStreams(set.config)) throw refuse('is a plain model (P = 1), in which there is nothing to fold')
  if (stream === undefined && parscale.n > 1)
    throw refuse(`has ${parscale.n} streams, and a plain model is one of them; say which, --fold 1 to --fold ${parscale.n}`)
  const index = (stream ?? 1) - 1
  if (!(Number.isSafeInteger(index) && index >= 0 && index < parscale.n))
    throw refuse(`there is no stream ${stream}; choose from 1 to ${parscale.n}`)
  if (parscale.input.includes('prefix'))
    throw refuse(
      'its streams have prefixes, keys and values in front of the text, which no weight can hold; only parscale runs them',
    )
  const unfoldable = parscale.input.find((kind) => !foldable.has(kind))
  if (unfoldable !== undefined) throw refuse(`its streams have ${unfoldable}, which is not folded into weights`)
  for (const { config, path } of [model, set]) {
    const quantised = quantisationOf(config.raw, path)
    if (quantised) throw refuse(`${path} is quantised to ${quantised.bits} bits; fold the model that it was made from`)
  }

  const tied = tiedOf(model)
  const config = foldedConfig(model.config, parscale.input.includes('bitfit'), refuse)
  const stored = new Map([...model.tensors, ...set.tensors].map((tensor) => [tensor.name, tensor]))
  const own = new Map(streamParameters(set.config).map(({ name, shape }) => [name, shape]))
  /** What a tensor of the streams has for this one; undefined where the kind is not among theirs. */
  const ofStream = async (name: string): Promise<Float32Array | undefined> => {
    const shape = own.get(name)
    if (!shape) return undefined
    const values = await readAll(stored.get(name), name, shape)
    requireFinite(values, name, set.path)
    const size = values.length / parscale.n
    return values.subarray(index * size, (index + 1) * size)
  }
  const gainOf = async (name: string, size: number): Promise<Float32Array> => {
    const values = await readAll(stored.get(`${name}.weight`), `${name}.weight`, [size])
    const [gain, offset] = [await ofStream(gainName(name)), config.features.normOffset]
    return gain ? values.map((w, i) => gain[i]! * (w + offset) - offset) : values
  }

  const made = new Map<string, () => Promise<Float32Array>>()
  const before = Array.from({ length: config.numHiddenLayers }, (_, layer) => layerTensors(model.config, layer))
  const after = Array.from({ length: config.numHiddenLayers }, (_, layer) => layerTensors(config, layer))
  for (const [layer, tensors] of after.entries()) {
    const had = new Map(before[layer]!.map((tensor) => [tensor.role, tensor]))
    for (const tensor of tensors) {
      if (made.has(tensor.stored.name)) continue
      const parts = tensors.filter(({ stored }) => stored.name === tensor.stored.name)
      const part = (one: LayerTensor) => {
        if (isLinear(one.role)) return weightOf(one, one.role, layer)
        if (one.role.endsWith('Bias')) return biasOf(one, had.get(one.role))
        return gainOf(one.layer, one.shape[0]!)
      }
      const isTouched = tensor.part === 'norm' ? own.has(gainName(tensor.layer)) : parscale.input.some((kind) => kind !== 'norms')
      if (isTouched) made.set(tensor.stored.name, async () => joined(await Promise.all(parts.map(part)), tensor.stored.shape))
    }
  }
  if (own.has(gainName('model.norm'))) made.set('model.norm.weight', () => gainOf('model.norm', config.hiddenSize))

  async function weightOf(
    { layer: name, shape, stored: { name: file, shape: whole }, row }: LayerTensor,
    role: LinearRole,
    layer: number,
  ) {
    const [out, inner] = shape as [number, number]
    const all = await readAll(stored.get(file), file, whole)
    const reads = Object.values(linearInputs).find(({ roles }) => (roles as readonly LinearRole[]).includes(role))!
    const r = await ofStream(inputScaleName(`model.layers.${layer}.${reads.name}`))
    const [s, a, b] = [
      await ofStream(outputScaleName(name)),
      await ofStream(loraName(name, 'A')),
      await ofStream(loraName(name, 'B')),
    ]
    const rank = a ? a.length / inner : 0
    const folded = new Float32Array(out * inner)
    const sums = new Float64Array(inner)
    for (let o = 0; o < out; o++) {
      for (let i = 0; i < inner; i++) sums[i] = (s ? s[o]! : 1) * all[(row + o) * inner + i]!
      for (let k = 0; k < rank; k++) for (let i = 0; i < inner; i++) sums[i]! += b![o * rank + k]! * a![k * inner + i]!
      for (let i = 0; i < inner; i++) folded[o * inner + i] = (r ? r[i]! : 1) * sums[i]!
    }
    return folded
  }

  /** @param had the model's own bias, where it has one */
  async function biasOf({ layer: name, shape, row }: LayerTensor, had: LayerTensor | undefined) {
    const values = had && (await readAll(stored.get(had.stored.name), had.stored.name, had.stored.shape))
    const [s, c] = [await ofStream(outputScaleName(name)), await ofStream(biasName(name))]
    return Float32Array.from({ length: shape[0]! }, (_, o) => (s ? s[o]! : 1) * (values?.[row + o] ?? 0) + (c?.[o] ?? 0))
  }

  const tensors = backboneParameters(config, tied).map(({ name, shape }): TensorStream => {
    const make = made.get(name)
    return make ? computed(name, shape, make) : present(stored.get(name), name, shape)
  })
  const files = new Map(model.files)
  files.set('config.json', jsonBytes(configJson(config, { tied, dtype: 'F32' })))
  return { files, tensors }
}

const foldable: ReadonlySet<string> = new Set(['scales', 'lora', 'bitfit', 'norms'])

const isLinear = (role: string): role is LinearRole => linearRoles.some((each) => each === role)

/** The configuration of the plain model, in a family that has the biases. */
function foldedConfig(source: ModelConfig, biases: boolean, refuse: (what: string) => Error): ModelConfig {
  const raw = Object.fromEntries(Object.entries(source.raw).filter(([key]) => key !== backboneDigestKey))
  const { attentionBias, mlpBias } = source
  const modelType = families[source.modelType].reference?.plain ?? source.modelType
  const plain = { ...source, modelType, raw, parscale: parscaleConfig({ n: 1 }) }
  if (!biases || (attentionBias.qkv && attentionBias.o && mlpBias)) return plain
  const isLlama =
    JSON.stringify(source.features) === JSON.stringify(plainFeatures) &&
    !source.qkNorm &&
    source.slidingWindows.every((window) => window === null)
  if (!isLlama) {
    throw refuse(
      `its streams have biases (bitfit) on every linear layer, for which ${modelType} models have no place, and no other family computes the rest as it does`,
    )
  }
  const kept = Object.entries(raw).filter(([key]) => !windowKeys.has(key))
  const json = {
    ...configJson({ ...plain, raw: Object.fromEntries(kept) }, { tied: source.tieWordEmbeddings ?? false, dtype: 'F32' }),
    ...{ model_type: 'llama', architectures: [families.llama.className], attention_bias: true, mlp_bias: true },
  }
  const { tieWordEmbeddings: _, ...config } = parseModelConfig(json)
  return { ...config, tieWordEmbeddings: source.tieWordEmbeddings }
}

/** Keys that `llama` does not know; what they said is that there are no windows. */
const windowKeys = new Set(['use_sliding_window', 'sliding_window', 'max_window_layers', 'layer_types', 'auto_map'])

/** @throws checkpoint error where it is missing or has another shape */
function present(
  stream: TensorStream | undefined,
  name: string,
  shape: readonly number[],
): TensorStream & { dtype: StoredDType } {
  if (!stream || stream.shape.join() !== shape.join() || !isLoadable(stream)) {
    const found = stream ? `has shape [${stream.shape}] and type ${stream.dtype}` : 'is missing'
    throw usageError(`fold: tensor ${name} ${found}; config.json asks for floats of shape [${shape}]`, {
      tensor: name,
      expected: shape,
    })
  }
  return stream
}

async function readAll(stored: TensorStream | undefined, name: string, shape: readonly number[]): Promise<Float32Array> {
  const stream = present(stored, name, shape)
  const values = new Float32Array(elementCount(shape))
  let filled = 0
  for await (const bytes of stream.chunks()) {
    const wide = castBytes(bytes, stream.dtype, 'F32').slice()
    values.set(new Float32Array(wide.buffer), filled)
    filled += wide.byteLength / 4
  }
  return values
}

function joined(parts: readonly Float32Array[], shape: readonly number[]): Float32Array {
  if (parts.length === 1) return parts[0]!
  const all = new Float32Array(elementCount(shape))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Made when it is asked for, so that one matrix is in memory at a time. */
const computed = (name: string, shape: readonly number[], make: () => Promise<Float32Array>): TensorStream => ({
  name,
  dtype: 'F32',
  shape,
  async *chunks() {
    const { buffer, byteOffset, byteLength } = await make()
    yield new Uint8Array(buffer, byteOffset, byteLength)
  },
})
