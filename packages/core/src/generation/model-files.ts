/** From an open checkpoint to what an engine loads: every tensor is checked against config.json before anything is computed. */
import {
  type CheckpointTensors,
  findTensor,
  type ModelConfig,
  readF32,
  type StoredDType,
  type StoredTensor,
} from '../checkpoint/index.ts'
import { checkpointError } from '../errors.ts'
import type { DType } from '../graph/index.ts'
import {
  backboneParameters,
  type FindWeight,
  type LayerPrefix,
  type Parameter,
  prefixName,
  streamParameters,
} from '../model/index.ts'
import type { ModelFiles, StreamSetFiles } from './model.ts'

/** An open checkpoint: a folder on disk, or whatever a platform makes look like one. */
export interface Checkpoint extends CheckpointTensors {
  /** Names it in errors. */
  readonly path: string
  readonly config: ModelConfig
}

/** Buffers that some exporters write and no model needs. */
const harmless = /\.rotary_emb\.inv_freq$|\.masked_bias$/

/** Whether the output matrix is the embedding: as config.json says, or as the tensors show where it is silent. */
export const isTied = ({
  config,
  tensors,
}: {
  readonly config: ModelConfig
  readonly tensors: ReadonlyMap<string, unknown>
}): boolean => config.tieWordEmbeddings ?? !tensors.has('lm_head.weight')

/**
 * What an engine needs to run `backbone` with its own stream set, if it has one, and those of `others`.
 * Others may be whole checkpoints or hold the stream set's tensors only; that they belong to the same backbone is for
 * the caller to verify (node/backbone-digest.ts).
 *
 * @throws checkpoint error naming the first tensor that is missing, superfluous, wrongly shaped or not finite
 */
export async function modelFiles(backbone: Checkpoint, others: readonly Checkpoint[] = []): Promise<ModelFiles> {
  const tied = isTied(backbone)
  checkTensors(backbone, [...backboneParameters(backbone.config, tied), ...streamParameters(backbone.config)], tied)
  const sets = [backbone, ...others].filter(({ config }) => config.parscale.n > 1)
  for (const other of others) {
    if (other.config.parscale.n === 1)
      throw checkpointError(`${other.path}: has P = 1, so there is no stream set in it`, { file: other.path })
  }
  return {
    config: backbone.config,
    findWeight: findWeight(backbone),
    tied,
    streamSets: await Promise.all(sets.map((set) => streamSetFiles(set))),
  }
}

async function streamSetFiles(checkpoint: Checkpoint): Promise<StreamSetFiles> {
  const { config } = checkpoint
  const parameters = streamParameters(config)
  for (const parameter of parameters) requireTensor(checkpoint, parameter)
  const read = async (layer: number, which: 'k' | 'v') => {
    const name = prefixName(layer, which)
    const data = await readF32(checkpoint.tensors.get(name)!)
    requireFinite(data, name, checkpoint.path)
    return data
  }
  const prefixes: LayerPrefix[] = []
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    prefixes.push({ key: await read(layer, 'k'), value: await read(layer, 'v') })
  }
  for (const { name } of parameters.filter(({ part }) => part === 'aggregation')) {
    requireFinite(await readF32(checkpoint.tensors.get(name)!), name, checkpoint.path)
  }
  return { config, findWeight: findWeight(checkpoint), prefixes }
}

/** New parameters that were never initialised are the commonest damage of parallel-scaled checkpoints. */
function requireFinite(data: Float32Array, tensor: string, file: string): void {
  const at = data.findIndex((x) => !Number.isFinite(x))
  if (at < 0) return
  throw checkpointError(
    `${file}: tensor ${tensor} holds ${data[at]} at element ${at}; the stream parameters were never initialised or training diverged`,
    { file, tensor, found: data[at] },
  )
}

function checkTensors(checkpoint: Checkpoint, expected: readonly Parameter[], tied: boolean): void {
  const { path } = checkpoint
  for (const parameter of expected) requireTensor(checkpoint, parameter)
  const known = new Set(expected.map(({ name }) => name))
  if (tied) known.add('lm_head.weight')
  for (const [name, { shape }] of [...checkpoint.tensors, ...checkpoint.otherTensors]) {
    if (known.has(name) || harmless.test(name)) continue
    throw checkpointError(
      `${path}: tensor ${name} [${shape}] has no place in this model; does config.json (parscale_n, num_hidden_layers) belong to it?`,
      {
        file: path,
        tensor: name,
      },
    )
  }
}

function requireTensor(checkpoint: Checkpoint, { name, shape }: Pick<Parameter, 'name' | 'shape'>): StoredTensor {
  const { path } = checkpoint
  const tensor = findTensor(checkpoint, name)
  if (!tensor) {
    throw checkpointError(`${path}: tensor ${name} is missing; config.json asks for it with shape [${shape}]`, {
      file: path,
      tensor: name,
    })
  }
  if (tensor.shape.join() !== shape.join()) {
    throw checkpointError(`${path}: tensor ${name} has shape [${tensor.shape}], config.json asks for [${shape}]`, {
      file: path,
      tensor: name,
      expected: shape,
      found: tensor.shape,
    })
  }
  return tensor
}

const graphTypes: Readonly<Record<StoredDType, DType>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

function findWeight(checkpoint: Checkpoint): FindWeight {
  return (name, shape) => {
    const { dtype, source, offset, byteLength } = requireTensor(checkpoint, { name, shape })
    return { dtype: graphTypes[dtype], data: { path: source.path ?? source.name, offset, byteLength } }
  }
}
