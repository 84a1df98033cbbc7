/**
 * A checkpoint's tensors beside what config.json asks for: names, shapes and element types, known from headers alone. What is wrong
 * is said by the tensor's name and by the key of config.json that it goes with.
 */
import { checkpointError, type ParscaleError } from '../errors.ts'
import { type ModelConfig, type Parameter, type StreamInput, streamInputs, streamParameters } from '../model/index.ts'
import type { Checkpoint } from './open-checkpoint.ts'
import { quantisationOf } from './quantised-tensor.ts'
import { findTensor, isLoadable, notLoadable, type StoredTensor } from './tensor.ts'

/** Names of what kinds of streams have in a layer. */
const ofKind = /\.(stream_|lora_|prefix_)/
const gate = 'prefix_gate'
const aggregator = 'model.aggregate_layer.'

type Expected = Pick<Parameter, 'name' | 'shape'>
type Named = Pick<Checkpoint, 'path' | 'config'>

/** What a header says of a tensor. */
interface TensorHeader {
  readonly shape: readonly number[]
  readonly dtype: string
}

/** A model of which the headers alone are known. */
export interface StreamHeaders extends Named {
  readonly tensors: ReadonlyMap<string, TensorHeader>
  /** Those whose type is none of floats. */
  readonly otherTensors?: ReadonlyMap<string, TensorHeader>
}

/** @throws checkpoint error for a tensor that is missing or of another shape; unsupported error as findTensor */
export function requireTensor(checkpoint: Checkpoint, parameter: Expected): StoredTensor {
  const tensor = findTensor(checkpoint, parameter.name)
  if (tensor?.shape.join() === parameter.shape.join()) return tensor
  throw misfit(checkpoint, parameter, tensor)
}

/**
 * That a model has the tensors that its streams ask for, and none of other streams: before work that takes long, and before numbers of
 * config.json are believed, of which none else says how large its streams are. A set of streams is only that, or a whole checkpoint:
 * what is not of streams is left to whoever runs the model.
 *
 * @throws as requireTensor; checkpoint error for a tensor of streams that config.json does not name
 */
export function requireStreamTensors(headers: StreamHeaders): void {
  const { path, config, tensors, otherTensors } = headers
  const quantised = quantisationOf(config.raw) !== undefined
  const parameters = streamParameters(config)
  for (const parameter of parameters) {
    // Where matrices are quantised an aggregator's are: of several tensors, which are no floats.
    if (quantised && parameter.part === 'aggregation') continue
    const { name } = parameter
    const tensor = tensors.get(name) ?? otherTensors?.get(name)
    if (tensor && !isLoadable(tensor)) throw notLoadable(path, name, tensor.dtype)
    if (tensor?.shape.join() !== parameter.shape.join()) throw misfit(headers, parameter, tensor)
  }
  const known = new Set(parameters.map(({ name }) => name))
  for (const [name, { shape }] of [...tensors, ...(otherTensors ?? [])]) {
    const isAggregator = name.startsWith(aggregator)
    if (!(ofKind.test(name) || isAggregator) || known.has(name) || (quantised && isAggregator)) continue
    throw noPlace(headers, name, shape)
  }
}

function misfit(headers: StreamHeaders, { name, shape }: Expected, found: TensorHeader | undefined): ParscaleError {
  const { path, config } = headers
  const facts = { file: path, tensor: name, expected: shape, found: found?.shape }
  const asks = `config.json asks for ${found ? '' : 'it with shape '}[${shape}]`
  if (found)
    return checkpointError(
      `${path}: tensor ${name} has shape [${found.shape}], ${asks}${whyOtherShape(config, name, found.shape, shape)}`,
      facts,
    )
  const key = asksForLayer(headers, name) ?? keyThatAsks(config, name)
  const why = key ? `, as ${key}: change that, or take the checkpoint that was saved with this config.json` : ''
  return checkpointError(`${path}: tensor ${name} is missing; ${asks}${why}`, facts)
}

/** Of a tensor whose layer has none at all. */
function asksForLayer({ config, tensors, otherTensors }: StreamHeaders, name: string): string | undefined {
  const layer = /^model\.layers\.\d+\./.exec(name)?.[0]
  if (layer === undefined || [...tensors.keys(), ...(otherTensors?.keys() ?? [])].some((each) => each.startsWith(layer)))
    return undefined
  return `num_hidden_layers is ${config.numHiddenLayers}`
}

/** The key of config.json for whose sake a tensor of the streams is there; undefined for the backbone's. */
function keyThatAsks(config: ModelConfig, name: string): string | undefined {
  if (name.startsWith(aggregator)) {
    const { aggregation } = config.parscale
    return 'parscale_aggregation' in config.raw
      ? `parscale_aggregation is ${aggregation}`
      : `without parscale_aggregation that is ${aggregation}`
  }
  if (name.endsWith(gate)) return 'parscale_prefix_gate is true'
  const kind = kindOf(config, name)
  if (!kind || 'parscale_input' in config.raw) return kind && `parscale_input names ${kind}`
  return `parscale_n is ${config.parscale.n}, and without parscale_input that means ${kind}`
}

/** The kind of streams that has a tensor of this name; undefined for the backbone's and the aggregator's. */
function kindOf(config: ModelConfig, name: string): StreamInput | undefined {
  if (!ofKind.test(name)) return undefined
  const names = (kind: StreamInput) =>
    streamParameters({
      ...config,
      parscale: { ...config.parscale, input: [kind], gate: kind === 'prefix', aggregation: 'average' },
    })
  return streamInputs.find((kind) => names(kind).some((parameter) => parameter.name === name))
}

/** A tensor that a model of this configuration does not have. */
export const noPlace = ({ path, config }: Named, name: string, shape: readonly number[]): ParscaleError =>
  checkpointError(`${path}: tensor ${name} [${shape}] has no place in this model; ${whyNoPlace(config, name)}`, {
    file: path,
    tensor: name,
  })

function whyNoPlace(config: ModelConfig, name: string): string {
  const { n, input, aggregation } = config.parscale
  const kind = kindOf(config, name)
  const kinds = input.length > 0 ? input.join(', ') : 'none'
  if (kind && !input.includes(kind))
    return `it is of the kind ${kind}, and the streams of config.json have ${kinds} (parscale_n, parscale_input)`
  if (kind) return `config.json names no ${name.endsWith(gate) ? 'gate (parscale_prefix_gate)' : kind}`
  if (name.startsWith(aggregator)) {
    const has = n === 1 ? 'has one stream' : `joins streams by ${aggregation}`
    return `it is an aggregator's, and config.json ${has} (parscale_n, parscale_aggregation)`
  }
  return 'does config.json (parscale_n, num_hidden_layers) belong to it?'
}

/** What the file would have to say of streams for the shape to be right. */
function whyOtherShape(config: ModelConfig, name: string, found: readonly number[], asked: readonly number[]): string {
  const kind = kindOf(config, name)
  const differ = asked.flatMap((size, axis) => (found[axis] === size ? [] : [axis]))
  if (!kind || found.length !== asked.length || differ.length !== 1) return ''
  const [axis] = differ as [number]
  const said = (key: string, value: number) => `: the tensor is of ${key} ${found[axis]}, config.json says ${value}`
  const { n, nTokens, loraRank } = config.parscale
  if (axis === 0) return said('parscale_n', n)
  if (kind === 'lora' && asked[axis] === loraRank) return said('parscale_lora_rank', loraRank)
  if (kind === 'prefix' && axis === 2) return said('parscale_n_tokens', nTokens)
  return ''
}
