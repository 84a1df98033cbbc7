/** Lists the tensors of a packed file, each with its offset. */
import { unsupportedError } from '../errors.ts'
import {
  type FindWeight,
  isQuantised,
  type LayerRole,
  layerTensors,
  type ModelConfig,
  type StoredWeight,
  storedRows,
} from '../model/index.ts'
import { type Layout, planFile, type Role, roles } from './packed-layout.ts'

/** A tensor of the checkpoint with its place in the packed file. */
export interface PackedTensor {
  readonly layout: Layout
  readonly stored: StoredWeight
}

export interface PackPlan {
  readonly tensors: readonly PackedTensor[]
  readonly header: Uint8Array
  /** Where each tensor begins. */
  readonly offsets: readonly number[]
  readonly totalBytes: number
}

/**
 * The backbone: embedding, decoder, output embedding.
 *
 * @param tied the output matrix is the embedding
 * @throws as `find`
 */
export function planBackbone(config: ModelConfig, find: FindWeight, tied: boolean): PackPlan {
  const { hiddenSize: H, vocabSize: V } = config
  const tensors: PackedTensor[] = [matrixTensor('embedding', 0, find('model.embed_tokens.weight', [V, H]), V, H)]
  if (!tied) tensors.push(matrixTensor('output', 0, find('lm_head.weight', [V, H]), V, H))
  tensors.push(vectorTensor('finalNorm', 0, find('model.norm.weight', [H]), H))
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    for (const { role: layerRole, shape, stored, row } of layerTensors(config, layer)) {
      const role = packedRole(layerRole)
      const weight = storedRows(find(stored.name, stored.shape), stored.shape[0]!, row, shape[0]!)
      const [size, inputs] = shape as [number, number?]
      tensors.push(
        inputs === undefined ? vectorTensor(role, layer, weight, size) : matrixTensor(role, layer, weight, size, inputs),
      )
    }
  }
  return plan(config, 'backbone', tensors)
}

function packedRole(role: LayerRole): Role {
  const found = roles.find((known) => known === role)
  if (!found) throw unsupportedError(`native step: a layer with ${role} cannot be packed; use --engine onnx`, { found: role })
  return found
}

/**
 * What weighs the streams of a stream set: a network or P scores.
 *
 * @throws unsupported error for an average, which has no weights; else as `find`
 */
export function planAggregator(config: ModelConfig, find: FindWeight): PackPlan {
  const { hiddenSize: H } = config
  const { n: P, aggregation } = config.parscale
  if (aggregation === 'average') throw unsupportedError('native step: an average of streams has nothing to pack')
  const at = 'model.aggregate_layer'
  if (aggregation === 'static')
    return plan(config, 'aggregator', [vectorTensor('aggregatorOuterBias', 0, find(`${at}.logits`, [P]), P)])
  return plan(config, 'aggregator', [
    matrixTensor('aggregatorInner', 0, find(`${at}.0.weight`, [H, P * H]), H, P * H),
    vectorTensor('aggregatorInnerBias', 0, find(`${at}.0.bias`, [H]), H),
    matrixTensor('aggregatorOuter', 0, find(`${at}.2.weight`, [P, H]), P, H),
    vectorTensor('aggregatorOuterBias', 0, find(`${at}.2.bias`, [P]), P),
  ])
}

const plan = (config: ModelConfig, kind: 'backbone' | 'aggregator', tensors: readonly PackedTensor[]): PackPlan => ({
  tensors,
  ...planFile(
    config,
    kind,
    tensors.map(({ layout }) => layout),
  ),
})

function matrixTensor(role: Role, layer: number, stored: StoredWeight, outputs: number, inputs: number): PackedTensor {
  const shape = { role, layer, outputs, inputs, isVector: false }
  if (isQuantised(stored)) {
    const { bits, blockSize, zeroPoints } = stored
    return { stored, layout: { ...shape, format: bits === 8 ? 'int8' : 'int4', blockSize, hasMinima: zeroPoints !== undefined } }
  }
  const format = stored.dtype === 'bfloat16' ? 'bfloat16' : 'float32'
  return { stored, layout: { ...shape, format, blockSize: 0, hasMinima: false } }
}

const vectorTensor = (role: Role, layer: number, stored: StoredWeight, size: number): PackedTensor => ({
  stored,
  layout: { role, layer, outputs: size, inputs: 1, isVector: true, format: 'float32', blockSize: 0, hasMinima: false },
})
