/**
 * Prefixes reparameterised while training, as X. L. Li and P. Liang found steadier ("Prefix-Tuning", arXiv 2101.00190,
 * section 4.3): all keys and values are made by a small network from one embedding per stream and prefix token,
 *
 *   [k, v of all layers] = W2 silu(W1 z + b1) + b2
 *
 * and the network is dropped in the end: what it makes are prefixes like any others. They are merged by the very graph that
 * training ran, so a merged model's numbers are those of the trained one, bit for bit.
 *
 * Axes: P streams, n prefix tokens, E size of the embedding and of the hidden layer, L layers, K key/value heads, D head size.
 */
import { Tensor } from 'onnxruntime-common'
import { GraphBuilder, type Value } from '../../graph/index.ts'
import { type ModelConfig, type Parameter, prefixName, silu, type Weights } from '../../model/index.ts'
import type { Runtime } from '../../runtime/index.ts'

const at = 'prefix_mlp'
const mlpNames = {
  embedding: `${at}.embedding`,
  inner: `${at}.0.weight`,
  innerBias: `${at}.0.bias`,
  outer: `${at}.2.weight`,
  outerBias: `${at}.2.bias`,
} as const

/** What is trained in place of the prefixes. @param size E */
export function prefixMlpParameters(config: ModelConfig, size: number): Parameter[] {
  const { n: P, nTokens } = config.parscale
  const made = 2 * config.numHiddenLayers * config.numKeyValueHeads * config.headDim
  const part = 'prefix'
  return [
    { name: mlpNames.embedding, shape: [P, nTokens, size], part },
    { name: mlpNames.inner, shape: [size, size], part },
    { name: mlpNames.innerBias, shape: [size], part },
    { name: mlpNames.outer, shape: [made, size], part },
    { name: mlpNames.outerBias, shape: [made], part },
  ]
}

/**
 * The spread of a tensor's first values with which what the network makes is about N(0, std), as prefixes start without one;
 * undefined for tensors that are none of its.
 */
export function prefixMlpStd({ name, shape }: Parameter, std: number): number | undefined {
  const size = shape.at(-1)!
  if (name === mlpNames.embedding) return 1
  if (name === mlpNames.inner) return 1 / Math.sqrt(size)
  // silu of N(0, 1) has a root mean square of 0.6.
  if (name === mlpNames.outer) return std / (0.6 * Math.sqrt(size))
  return undefined
}

/** The prefixes [P, K, n, D], by their names as tensors. */
export function mlpPrefixes(g: GraphBuilder, config: ModelConfig, size: number, weights: Weights): Map<string, Value> {
  const { n: P, nTokens: n } = config.parscale
  const { numHiddenLayers: L, numKeyValueHeads: K, headDim: D } = config
  const [embedding, inner, innerBias, outer, outerBias] = prefixMlpParameters(config, size).map(({ name, shape }) =>
    weights(name, shape),
  ) as [Value, Value, Value, Value, Value]
  return g.scope('prefix-mlp', () => {
    const z = g.reshape(embedding, [P * n, size])
    const made = g.linear(silu(g, g.linear(z, inner, innerBias)), outer, outerBias) // [P*n, L*2*K*D]
    const apart = g.transpose(g.reshape(made, [P, n, 2 * L, K, D]), [2, 0, 3, 1, 4]) // [2*L, P, K, n, D]
    const parts = g.split(apart, new Array<number>(2 * L).fill(1), 0)
    return new Map(
      parts.map((part, i) => [prefixName(Math.floor(i / 2), i % 2 === 0 ? 'k' : 'v'), g.reshape(part, [P, K, n, D])]),
    )
  })
}

/**
 * The prefixes that a trained network makes, under the names of streamParameters.
 *
 * @param parameters holds those of prefixMlpParameters; others are passed over
 * @param runtime the one of the training, for equal bits
 */
export async function mergePrefixes(
  runtime: Runtime,
  config: ModelConfig,
  size: number,
  parameters: ReadonlyMap<string, Float32Array>,
): Promise<Map<string, Float32Array>> {
  const g = new GraphBuilder('prefixes')
  const inputs = new Map(
    prefixMlpParameters(config, size).map(({ name, shape }) => [name, { value: g.input(name, 'float32', shape), shape }]),
  )
  const prefixes = mlpPrefixes(g, config, size, (name) => inputs.get(name)!.value)
  for (const [name, value] of prefixes) g.output(value, name)
  const session = await runtime.createSession(g.build())
  try {
    const feeds = [...inputs].map(([name, { shape }]) => [name, new Tensor('float32', parameters.get(name)!, shape)])
    const out = await session.run(Object.fromEntries(feeds))
    return new Map([...prefixes.keys()].map((name) => [name, (out[name]!.data as Float32Array).slice()]))
  } finally {
    await session.dispose()
  }
}
