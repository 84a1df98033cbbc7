/**
 * The decoder, once for all families: they differ only in data (features.ts, and the tensors that a layer has).
 * It knows nothing of streams, prefixes or padding: it sees rows of tokens, a cache, and a mask. All rows go through one
 * product per weight.
 *
 * Axes: R rows, T new tokens, C cache capacity, H query heads, K key/value heads, G = H / K, D head size.
 */
import type { Dim, GraphBuilder, Value } from '../graph/index.ts'
import { product } from '../graph/shape.ts'
import type { ModelConfig } from './config.ts'
import type { Activation } from './features.ts'
import {
  type LayerRole,
  type LayerTensor,
  type LinearInput,
  type LinearRole,
  layerByRole,
  linearInputs,
  type NormRole,
} from './layer-tensors.ts'
import { linears, lookUp } from './linear.ts'
import { embeddingName } from './streams.ts'
import type { Weights } from './weights.ts'

/** A linear layer that is to be adapted. */
export interface AdaptedLinear {
  /** The weight's without `.weight`. */
  readonly name: string
  readonly out: number
  /** [out, in] */
  readonly weight: () => Value
  /** [out] */
  readonly bias: () => Value | undefined
  /** The stored tensor that holds the weight. */
  readonly stored: string
}

/** Changes what a layer computes, by rows; each gives its last argument where it changes nothing. */
export interface Adapt {
  /**
   * All that becomes of x [R*T, in] in the linear layers that are called `name` together, [R*T, out] of each, in place of `input`,
   * the products and `output`. Undefined, or absent: those.
   */
  readonly linears?: (name: string, x: Value, layers: readonly AdaptedLinear[]) => Value[] | undefined
  /** x [R*T, in], which the linear layers that are called `name` together read (layer-tensors.ts, `linearInputs`). */
  readonly input: (name: string, x: Value) => Value
  /** What a linear layer made of x [R*T, in]: y [R*T, out]. `name`: the weight's without `.weight`. */
  readonly output: (name: string, x: Value, y: Value) => Value
  /** What a norm gives: [R*T, hidden]. `name`: the weight's without `.weight`. */
  readonly norm: (name: string, y: Value) => Value
}

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
  /** int64 [R, T], or with fewer rows, which repeat: row r has those of r mod S, so that equal rows are looked up once. */
  readonly inputIds: Value
  /** float32 [R, T, D / 2] */
  readonly cos: Value
  readonly sin: Value
  /**
   * Added to the scores: 0 visible, very negative not. One for each window in use. float32 [R, 1, T, C + T], or with fewer
   * rows, which repeat as those of `inputIds` do.
   */
  readonly mask: (window: number | null) => Value
  /**
   * What the tokens of a layer attend to, given their own keys and values [R, K, T, D]: blocks [R, K, any, D], rotated
   * where they have to be, C + T places together in the mask's order.
   */
  readonly attended: (layer: number, present: KeyValue) => readonly KeyValueBlock[]
  /** Called for every linear layer, of which the embedding is one, and every norm over the hidden size, where given. */
  readonly adapt?: Adapt | undefined
  /** Changes what a layer's attention or MLP adds to the residual, [R*T, hidden], where given. */
  readonly branch?: ((layer: number, which: Branch, y: Value) => Value) | undefined
}

/** The two branches of a layer, in their order. */
export const branches = ['attention', 'mlp'] as const
export type Branch = (typeof branches)[number]

export interface DecoderOutputs {
  /** After the final norm: [R, T, hidden]. */
  readonly hidden: Value
  /** Per layer, the new tokens only: [R, K, T, D]. */
  readonly present: readonly KeyValue[]
  /** The residual on entry to each layer: [R*T, hidden]. */
  readonly layerInputs: readonly Value[]
}

export function decoder(g: GraphBuilder, config: ModelConfig, weights: Weights, inputs: DecoderInputs): DecoderOutputs {
  const { hiddenSize, rmsNormEps, features } = config
  const present: KeyValue[] = []
  const layerInputs: Value[] = []
  const [R, T] = inputs.cos.shape as [Dim, Dim, Dim]
  const { adapt, branch = (_layer, _which, y) => y } = inputs
  const rmsNorm = (x: Value, name: string, size: number) => {
    const weight = weights(`${name}.weight`, [size])
    return g.rmsNorm(x, features.normOffset === 0 ? weight : g.add(weight, g.scalar(features.normOffset)), rmsNormEps)
  }
  const residualNorm = (x: Value, name: string) => {
    const y = rmsNorm(x, name, hiddenSize)
    return adapt ? adapt.norm(name, y) : y
  }
  const linearsOf = (layer: number, tensors: LayerTensors, input: Value, which: LinearInput): Value[] => {
    const { name, roles } = linearInputs[which]
    const together = `model.layers.${layer}.${name}`
    const asked = roles.map((role) => tensors.get(role)!)
    const rows = ({ row, shape, stored }: LayerTensor): Value => {
      const whole = weights(stored.name, stored.shape)
      if (shape[0] === stored.shape[0]) return whole
      const sizes = [row, shape[0]!, stored.shape[0]! - row - shape[0]!]
      return g.split(
        whole,
        sizes.filter((size) => size > 0),
        0,
      )[Number(row > 0)]!
    }
    const adapted = adapt?.linears?.(
      together,
      input,
      asked.map((tensor) => ({
        name: tensor.layer,
        out: tensor.shape[0]!,
        stored: tensor.stored.name,
        weight: () => rows(tensor),
        bias: () => {
          const bias = tensors.get(`${tensor.role as LinearRole}Bias`)
          return bias && rows(bias)
        },
      })),
    )
    if (adapted) return adapted
    const x = adapt ? adapt.input(together, input) : input
    // What is stored as one is multiplied as one.
    const stored = asked.filter(({ row }) => row === 0)
    const outputs = linears(
      g,
      weights,
      x,
      stored.map(({ role, stored: { name, shape } }) => {
        const bias = tensors.get(`${role as LinearRole}Bias`)?.stored
        return { name: name.replace(/\.weight$/, ''), out: shape[0]!, bias: bias && weights(bias.name, bias.shape) }
      }),
    )
    const products = stored.flatMap(({ stored: { name } }, i) => {
      const parts = asked.filter((tensor) => tensor.stored.name === name)
      return g.split(
        outputs[i]!,
        parts.map(({ shape }) => shape[0]!),
        -1,
      )
    })
    return asked.map(({ layer }, i) => (adapt ? adapt.output(layer, x, products[i]!) : products[i]!))
  }

  const embedded = lookUp(g, weights, `${embeddingName}.weight`, [config.vocabSize, hiddenSize], inputs.inputIds)
  const scaled = features.embeddingScale === 1 ? embedded : g.mul(embedded, g.scalar(features.embeddingScale))
  let x = g.reshape(repeatRows(g, scaled, R), [product([R, T]), hiddenSize]) // [R*T, hidden]
  if (adapt) x = adapt.output(embeddingName, x, x)
  for (let l = 0; l < config.numHiddenLayers; l++) {
    g.scope(`layers.${l}`, () => {
      layerInputs.push(x)
      const tensors = layerByRole(config, l)
      const linear: Linear = (x, which) => linearsOf(l, tensors, x, which)
      const norm = (x: Value, role: NormRole) => {
        const tensor = tensors.get(role)
        return tensor ? residualNorm(x, tensor.layer) : x
      }
      const normHeads: NormHeads = (x, role) => {
        const tensor = tensors.get(role)
        return tensor ? rmsNorm(x, tensor.layer, tensor.shape[0]!) : x
      }
      const attended = g.scope('attention', () => attention(g, config, { normHeads, linear }, inputs, l, norm(x, 'inputNorm')))
      present.push(attended.present)
      x = g.add(x, branch(l, 'attention', norm(attended.out, 'attentionOutNorm')))
      const made = g.scope('mlp', () => norm(mlp(g, features.activation, linear, norm(x, 'postNorm')), 'mlpOutNorm'))
      x = g.add(x, branch(l, 'mlp', made))
    })
  }
  const hidden = g.reshape(residualNorm(x, 'model.norm'), [R, T, hiddenSize])
  return { hidden, present, layerInputs }
}

/** [S, ...] to [R, ...]: all rows R / S times, one after the other. */
function repeatRows(g: GraphBuilder, x: Value, R: Dim): Value {
  const [S, ...row] = x.shape
  if (S === R) return x
  const copies = (R as number) / (S as number)
  return g.reshape(g.expand(x, [copies, S!, ...row]), [R, ...row])
}

type LayerTensors = ReadonlyMap<LayerRole, LayerTensor>
/** RMS norm of queries or keys over the last axis; x itself where a layer has no such norm. */
type NormHeads = (x: Value, role: 'qNorm' | 'kNorm') => Value
/** The linear layers of one input, as adapted: [rows, in] to [rows, out] for each role. */
type Linear = (x: Value, which: LinearInput) => Value[]

function attention(
  g: GraphBuilder,
  c: ModelConfig,
  { normHeads, linear }: { normHeads: NormHeads; linear: Linear },
  inputs: DecoderInputs,
  layer: number,
  x: Value,
) {
  const { numAttentionHeads: H, numKeyValueHeads: K, headDim: D } = c
  const [R, T] = inputs.cos.shape as [Dim, Dim, Dim]
  const projected = linear(x, 'qkv')
  const [q, k, v] = projected.map((y) => g.reshape(y, [R, T, y.shape[1]!])) as [Value, Value, Value]
  const normed = (y: Value, heads: number, role: 'qNorm' | 'kNorm'): Value =>
    c.qkNorm === 'head' ? g.reshape(normHeads(g.reshape(y, [R, T, heads, D]), role), [R, T, heads * D]) : normHeads(y, role)
  const rotate = (y: Value, heads: number, role: 'qNorm' | 'kNorm'): Value =>
    rotateHeads(g, normed(y, heads, role), inputs, heads, D)
  const byHead = (y: Value, heads: number) => g.transpose(g.reshape(y, [R, T, heads, D]), [0, 2, 1, 3])

  const query = byHead(rotate(q, H, 'qNorm'), H) // [R, H, T, D]
  const key = byHead(rotate(k, K, 'kNorm'), K) // [R, K, T, D]
  const value = byHead(v, K) // [R, K, T, D]
  const blocks = inputs.attended(layer, { key, value })

  // The G query heads of a key/value head stand as rows of one product, so that the cache is read once for all of them.
  const GT = product([H / K, T])
  const grouped = g.reshape(query, [R, K, GT, D]) // [R, K, G*T, D]
  // Directly in front of the product, where the engine makes it a factor of the product.
  const { attentionScale, attentionSoftCap } = c.features
  const scaled = g.mul(grouped, g.scalar((attentionScale ?? 1 / Math.sqrt(D)) / (attentionSoftCap ?? 1)))
  const uncapped = g.concat(
    blocks.map(({ key, keyScale }) => {
      const products = g.matMul(scaled, g.transpose(g.cast(key, 'float32'), [0, 1, 3, 2]))
      return keyScale ? g.mul(products, g.unsqueeze(keyScale, 2)) : products
    }),
    -1,
  ) // [R, K, G*T, C+T]
  const scores = attentionSoftCap === null ? uncapped : g.mul(g.tanh(uncapped), g.scalar(attentionSoftCap))
  const places = scores.shape[3]!
  const mask = inputs.mask(c.slidingWindows[layer]!)
  const M = mask.shape[0]!
  const byMask: Dim[] = M === R ? [R, H] : M === 1 ? [1, (R as number) * H] : [(R as number) / (M as number), M, H]
  const masked = g.add(g.reshape(scores, [...byMask, T, places]), mask)
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
  const [out] = linear(g.reshape(joined, [product([R, T]), H * D]), 'o')
  return { out: out!, present: { key, value } }
}

/** The first 2 * rotaryHalf of each head turned by their positions, the rest as it is. y [R, T, heads * D]. */
function rotateHeads(g: GraphBuilder, y: Value, { cos, sin }: DecoderInputs, heads: number, D: number): Value {
  const rotated = 2 * (cos.shape[2] as number)
  if (rotated === D) return g.rotaryEmbedding(y, cos, sin, heads)
  const [R, T] = y.shape as [Dim, Dim, Dim]
  const [turning, staying] = g.split(g.reshape(y, [R, T, heads, D]), [rotated, D - rotated], -1) as [Value, Value]
  const turned = g.rotaryEmbedding(g.reshape(turning, [R, T, heads * rotated]), cos, sin, heads)
  return g.reshape(g.concat([g.reshape(turned, [R, T, heads, rotated]), staying], 3), [R, T, heads * D])
}

/** down(activation(gate(x)) * up(x)) */
function mlp(g: GraphBuilder, activation: Activation, linear: Linear, x: Value): Value {
  const [gate, up] = linear(x, 'gateUp')
  return linear(g.mul(activate[activation](g, gate!), up!), 'down')[0]!
}

export const silu = (g: GraphBuilder, x: Value): Value => g.mul(x, g.sigmoid(x))

/** x / 2 (1 + tanh(u)) with u = sqrt(2 / pi) (x + 0.044715 x^3), which is x sigmoid(2 u). */
function geluTanh(g: GraphBuilder, x: Value): Value {
  const cubic = g.add(g.scalar(1), g.mul(g.mul(x, x), g.scalar(0.044715)))
  return g.mul(x, g.sigmoid(g.mul(g.mul(x, cubic), g.scalar(2 * Math.sqrt(2 / Math.PI)))))
}

const activate: Readonly<Record<Activation, (g: GraphBuilder, x: Value) => Value>> = { silu, gelu_pytorch_tanh: geluTanh }
