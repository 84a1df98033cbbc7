/**
 * What makes the P streams of one backbone differ, in one file. Each kind gives every stream tensors of its own; P of them are
 * still one batch of rows over shared weights. For stream p, in every layer:
 *
 *   prefix   keys and values in front of the row's own (arXiv 2505.10475; parscale.ts writes or joins them)
 *   scales   a vector r_p on the input of a linear layer and s_p on its output: rank one, as if W were s_p r_p^T * W
 *            (BatchEnsemble, arXiv 2002.06715)
 *   lora     B_p A_p, of rank `loraRank` and without a further factor, beside W (arXiv 2106.09685)
 *   bitfit   a bias b_p (arXiv 2106.10199)
 *   norms    gains g_p on what the norms of the residual give
 *
 * and once, in front of the layers,
 *
 *   embedding  a scale e_p and an offset o_p of the token embedding: e_p * E[token] + o_p
 *
 * Together a linear layer is     y = s_p * (W x + b) + B_p A_p x + b_p     with x = r_p * input
 * and a norm                     g_p * norm(x).
 *
 * Linear layers that read the same input (q, k and v; gate and up) share r_p, as if their matrices were one: each row is scaled,
 * and rounded where products are of integers, once. adapters.ts builds the formulas; here are the tensors.
 * The embedding is a linear layer of tokens written as unit vectors, so its scale and offset have such a layer's names.
 *
 * Axes: P streams, H hidden, K key/value heads, D head size. The stream is the first axis, and the middle one of three is the
 * tokens', over which a vector repeats.
 */
import type { ModelConfig, StreamInput } from './config.ts'
import { layerByRole, linearInputs, linearRoles, type NormRole, type Parameter } from './layer-tensors.ts'

const adapter = (name: string, ...shape: number[]): Parameter => ({ name, shape, part: 'adapter' })

/** The tensors of each kind in one layer. */
const ofLayer: Readonly<Record<StreamInput, (c: ModelConfig, layer: number) => Parameter[]>> = {
  prefix: ({ parscale: { n: P, nTokens }, numKeyValueHeads: K, headDim: D }, layer) =>
    (['k', 'v'] as const).map((which) => ({ name: prefixName(layer, which), shape: [P, K, nTokens, D], part: 'prefix' })),
  scales: (c, layer) => {
    const P = c.parscale.n
    const inputs = Object.values(linearInputs).map(({ name, roles }) =>
      adapter(inputScaleName(`model.layers.${layer}.${name}`), P, 1, layerByRole(c, layer).get(roles[0])!.shape[1]!),
    )
    return [...inputs, ...linearLayers(c, layer).map(({ name, out }) => adapter(outputScaleName(name), P, 1, out))]
  },
  lora: (c, layer) => {
    const { n: P, loraRank: rank } = c.parscale
    return linearLayers(c, layer).flatMap(({ name, out, inner }) => [
      adapter(loraName(name, 'A'), P, rank, inner),
      adapter(loraName(name, 'B'), P, out, rank),
    ])
  },
  bitfit: (c, layer) => linearLayers(c, layer).map(({ name, out }) => adapter(biasName(name), c.parscale.n, 1, out)),
  norms: (c, layer) =>
    residualNorms.flatMap((role) => {
      const norm = layerByRole(c, layer).get(role)
      return norm ? adapter(gainName(norm.layer), c.parscale.n, 1, c.hiddenSize) : []
    }),
  embedding: () => [],
}

const residualNorms: readonly NormRole[] = ['inputNorm', 'attentionOutNorm', 'postNorm', 'mlpOutNorm']

/** What tells the streams of a model apart: in front of the layers, layer by layer, then what stands behind them. */
export function inputParameters(c: ModelConfig): Parameter[] {
  const { n: P, input, gate } = c.parscale
  const layers = Array.from({ length: c.numHiddenLayers }, (_, layer) => input.flatMap((kind) => ofLayer[kind](c, layer)))
  return [
    ...(input.includes('embedding')
      ? [outputScaleName, biasName].map((nameOf) => adapter(nameOf(embeddingName), P, 1, c.hiddenSize))
      : []),
    ...layers.flat(),
    ...(input.includes('norms') ? [adapter(gainName('model.norm'), P, 1, c.hiddenSize)] : []),
    ...(gate ? [{ name: gateName, shape: [P], part: 'prefix' } as const] : []),
  ]
}

/** The linear layers of one decoder layer. `name`: the weight's without `.weight`. */
export function linearLayers(c: ModelConfig, layer: number): { name: string; out: number; inner: number }[] {
  const tensors = layerByRole(c, layer)
  return linearRoles.map((role) => {
    const { layer: name, shape } = tensors.get(role)!
    return { name, out: shape[0]!, inner: shape[1]! }
  })
}

/** The value with which a tensor of this name leaves everything as it is: of a factor 1, of an addend 0. */
export const neutralValue = (name: string): number => (isFactor(name) ? 1 : 0)

/** Whether a tensor multiplies: scales and gains. */
export const isFactor = (name: string): boolean => /\.stream_(input_scale|output_scale|gain)$/.test(name)

export const prefixName = (layer: number, which: 'k' | 'v'): string => `model.layers.${layer}.self_attn.prefix_${which}`
/** What the embedding is called, as a linear layer. */
export const embeddingName = 'model.embed_tokens'
export const gateName = 'model.prefix_gate'

/** Of the linear layer that is called `layer`, or of those that read one input, as they are called together. */
export const loraName = (layer: string, which: 'A' | 'B'): string => `${layer}.lora_${which}`
export const biasName = (layer: string): string => `${layer}.stream_bias`
export const inputScaleName = (layers: string): string => `${layers}.stream_input_scale`
export const outputScaleName = (layer: string): string => `${layer}.stream_output_scale`
/** Of a norm. */
export const gainName = (norm: string): string => `${norm}.stream_gain`
