/**
 * The decoder, once for all families: Qwen2, Qwen3, Llama and Mistral differ only in data (biases, q/k norms, windows).
 * It knows nothing of streams, prefixes or padding: it sees rows of tokens, a cache, and a mask. All rows go through one
 * product per weight.
 *
 * Axes: R rows, T new tokens, C cache capacity, H query heads, K key/value heads, G = H / K, D head size.
 */
import type { Dim, GraphBuilder, Value } from '../graph/index.ts'
import { product } from '../graph/shape.ts'
import type { ModelConfig } from './config.ts'
import { linears, lookUp } from './linear.ts'
import type { Weights } from './weights.ts'

/** Changes what a linear layer gives: `name` is the weight's without `.weight`, x [R*T, in], y [R*T, out]. */
export type Adapt = (name: string, x: Value, y: Value) => Value

export interface KeyValue {
  readonly key: Value
  readonly value: Value
}

/**
 * Keys and values to attend to, [R, K, places, D] in any type. Where scales are given, [R, K, places], each key or value is times its
 * own, which is applied to scores and weights: these are D times fewer.
 */
export interface KeyValueBlock extends KeyValue {
  readonly keyScale?: Value | undefined
  readonly valueScale?: Value | undefined
}

export interface DecoderInputs {
  /** int64 [R, T], or with fewer rows, each of them for as many neighbouring rows, so that equal rows are looked up once. */
  readonly inputIds: Value
  /** float32 [R, T, D / 2] */
  readonly cos: Value
  readonly sin: Value
  /**
   * Added to the scores: 0 visible, very negative not. One for each window in use. float32 [R, 1, T, C + T], or with fewer
   * rows, each of them for as many neighbouring rows of tokens.
   */
  readonly mask: (window: number | null) => Value
  /**
   * What the tokens of a layer attend to, given their own keys and values [R, K, T, D]: blocks [R, K, any, D], rotated
   * where they have to be, C + T places together in the mask's order.
   */
  readonly attended: (layer: number, present: KeyValue) => readonly KeyValueBlock[]
  /** Called for every linear layer, where given. */
  readonly adapt?: Adapt | undefined
}

export interface DecoderOutputs {
  /** After the final norm: [R, T, hidden]. */
  readonly hidden: Value
  /** Per layer, the new tokens only: [R, K, T, D]. */
  readonly present: readonly KeyValue[]
  /** The residual on entry to each layer: [R*T, hidden]. */
  readonly layerInputs: readonly Value[]
}

export function decoder(g: GraphBuilder, config: ModelConfig, weights: Weights, inputs: DecoderInputs): DecoderOutputs {
  const { hiddenSize, rmsNormEps } = config
  const present: KeyValue[] = []
  const layerInputs: Value[] = []
  const [R, T] = inputs.cos.shape as [Dim, Dim, Dim]
  const norm = (x: Value, name: string) => g.rmsNorm(x, weights(name, [hiddenSize]), rmsNormEps)
  const linear: Linear = (x, bias, outs) => {
    const layers = Object.entries(outs).map(([name, out]) => ({
      name,
      out,
      bias: bias ? weights(`${name}.bias`, [out]) : undefined,
    }))
    const products = linears(g, weights, x, layers)
    return layers.map(({ name }, i) => (inputs.adapt ? inputs.adapt(name, x, products[i]!) : products[i]!))
  }

  const embedded = lookUp(g, weights, 'model.embed_tokens.weight', [config.vocabSize, hiddenSize], inputs.inputIds)
  let x = g.reshape(repeatRows(g, embedded, R), [product([R, T]), hiddenSize]) // [R*T, hidden]
  for (let l = 0; l < config.numHiddenLayers; l++) {
    g.scope(`layers.${l}`, () => {
      layerInputs.push(x)
      const at = `model.layers.${l}`
      const attended = g.scope('attention', () =>
        attention(g, config, weights, linear, inputs, l, norm(x, `${at}.input_layernorm.weight`)),
      )
      present.push(attended.present)
      x = g.add(x, attended.out)
      x = g.add(
        x,
        g.scope('mlp', () => mlp(g, config, linear, `${at}.mlp`, norm(x, `${at}.post_attention_layernorm.weight`))),
      )
    })
  }
  const hidden = g.reshape(norm(x, 'model.norm.weight'), [R, T, hiddenSize])
  return { hidden, present, layerInputs }
}

/** [S, ...] to [R, ...]: each row R / S times, side by side. */
function repeatRows(g: GraphBuilder, x: Value, R: Dim): Value {
  const [S, ...row] = x.shape
  if (S === R) return x
  const copies = (R as number) / (S as number)
  return g.reshape(g.expand(g.unsqueeze(x, 1), [S!, copies, ...row]), [R, ...row])
}

/** Linear layers of one input, as adapted: [rows, in] to [rows, out] for each name of a weight with its `out`. */
type Linear = (x: Value, bias: boolean, outs: Readonly<Record<string, number>>) => Value[]

function attention(
  g: GraphBuilder,
  c: ModelConfig,
  weights: Weights,
  linear: Linear,
  inputs: DecoderInputs,
  layer: number,
  x: Value,
) {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: D } = c
  const [R, T] = inputs.cos.shape as [Dim, Dim, Dim]
  const at = `model.layers.${layer}.self_attn`
  const projected = linear(x, c.attentionBias.qkv, {
    [`${at}.q_proj`]: H * D,
    [`${at}.k_proj`]: K * D,
    [`${at}.v_proj`]: K * D,
  })
  const [q, k, v] = projected.map((y) => g.reshape(y, [R, T, y.shape[1]!])) as [Value, Value, Value]
  const rotate = (name: string, heads: number, projection: Value): Value => {
    let y = projection
    if (c.qkNorm) {
      const perHead = g.reshape(y, [R, T, heads, D])
      y = g.reshape(g.rmsNorm(perHead, weights(`${at}.${name}_norm.weight`, [D]), c.rmsNormEps), [R, T, heads * D])
    }
    return g.rotaryEmbedding(y, inputs.cos, inputs.sin, heads)
  }
  const byHead = (y: Value, heads: number) => g.transpose(g.reshape(y, [R, T, heads, D]), [0, 2, 1, 3])

  const query = byHead(rotate('q', H, q), H) // [R, H, T, D]
  const key = byHead(rotate('k', K, k), K) // [R, K, T, D]
  const value = byHead(v, K) // [R, K, T, D]
  const blocks = inputs.attended(layer, { key, value })

  // The G query heads of a key/value head stand as rows of one product, so that the cache is read once for all of them.
  const GT = product([H / K, T])
  const grouped = g.reshape(query, [R, K, GT, D]) // [R, K, G*T, D]
  // Directly in front of the product, where the engine makes it a factor of the product.
  const scaled = g.mul(grouped, g.scalar(1 / Math.sqrt(D)))
  const scores = g.concat(
    blocks.map(({ key, keyScale }) => {
      const products = g.matMul(scaled, g.transpose(g.cast(key, 'float32'), [0, 1, 3, 2]))
      return keyScale ? g.mul(products, g.unsqueeze(keyScale, 2)) : products
    }),
    -1,
  ) // [R, K, G*T, C+T]
  const places = scores.shape[3]!
  const mask = inputs.mask(c.slidingWindows[layer]!)
  const M = mask.shape[0]!
  const headsPerMask = M === R ? H : ((R as number) * H) / (M as number)
  const masked = g.add(g.reshape(scores, [M, headsPerMask, T, places]), mask)
  const weightsByHead = g.reshape(g.softmax(masked), [R, K, GT, places])
  const shares = g.split(
    weightsByHead,
    blocks.map((block) => block.key.shape[2]!),
    -1,
  )
  const mixtures = blocks.map(({ value, valueScale }, i) =>
    g.matMul(valueScale ? g.mul(shares[i]!, g.unsqueeze(valueScale, 2)) : shares[i]!, g.cast(value, 'float32')),
  )
  const mixed = mixtures.reduce(g.add) // [R, K, G*T, D]
  const joined = g.transpose(g.reshape(mixed, [R, H, T, D]), [0, 2, 1, 3]) // [R, T, H, D]
  const [out] = linear(g.reshape(joined, [product([R, T]), H * D]), c.attentionBias.o, { [`${at}.o_proj`]: c.hiddenSize })
  return { out: out!, present: { key, value } }
}

/** down(silu(gate(x)) * up(x)) */
function mlp(g: GraphBuilder, c: ModelConfig, linear: Linear, at: string, x: Value): Value {
  const [gate, up] = linear(x, c.mlpBias, { [`${at}.gate_proj`]: c.intermediateSize, [`${at}.up_proj`]: c.intermediateSize })
  return linear(g.mul(silu(g, gate!), up!), c.mlpBias, { [`${at}.down_proj`]: c.hiddenSize })[0]!
}

export const silu = (g: GraphBuilder, x: Value): Value => g.mul(x, g.sigmoid(x))
