/** The three graphs that an engine runs, each with its inputs and outputs named: backbone, aggregator, output embedding. */
import { GraphBuilder } from '../graph/builder.ts'
import type { Graph, OpName, Value } from '../graph/index.ts'
import { bankAdapt } from './adapters.ts'
import type { ModelConfig } from './config.ts'
import { decoder, type KeyValueBlock } from './decoder.ts'
import { type KvType, kvDTypes, type StoredKv, storedKv } from './kv-type.ts'
import { aggregate, outputEmbedding } from './parscale.ts'
import { rotaryHalf } from './rope.ts'
import { externalWeights, type FindWeight } from './weights.ts'

/** The mask input for layers with this window. */
export const maskName = (window: number | null): string => (window === null ? 'mask' : `mask.window${window}`)

/** The different windows of a model's layers, in order of appearance. */
export const windowsOf = (config: ModelConfig): (number | null)[] => [...new Set(config.slidingWindows)]

/**
 * Rows of tokens in, hidden states out; knows nothing of P.
 *
 * Inputs: `input_ids` int64 [R, T]; `cos`, `sin` [R, T, rotaryHalf]; `mask` (and `mask.windowW`) [R, 1, T, C+T];
 * `past.L.key`, `past.L.value` [R, K, C, D] per layer, in the type that `kv` names (default: f32); with int8 also their
 * `past.L.key_scale`, `past.L.value_scale` [R, K, C].
 * Outputs: `hidden` [R, T, hidden]; `present.L.key`, `present.L.value` [R, K, T, D], the new tokens only, and
 * with int8 `present.L.key_scale`, `present.L.value_scale` [R, K, T];
 * with `layerInputs`, also `layer_input.L` [R*T, hidden].
 * With `sharesKeys` (own-window.ts), also the input `shared_rows` int64 [R]: row r attends to its own keys and values and then to those of
 * row `shared_rows[r]`, and masks are [R, 1, T, 2 (C+T)].
 * With `adapters` (adapters.ts), also the inputs `stream_ids` int64 [R], and each of these tensors, by name: row r takes
 * entry `stream_ids[r]` of their first axis.
 */
export function backboneGraph(
  config: ModelConfig,
  find: FindWeight,
  options: {
    layerInputs?: boolean
    kv?: KvType
    adapters?: ReadonlyMap<string, readonly number[]> | undefined
    sharesKeys?: boolean
  } = {},
): Graph<OpName> {
  const g = new GraphBuilder('backbone')
  const { numKeyValueHeads, headDim } = config
  const inputIds = g.input('input_ids', 'int64', ['rows', 'tokens'])
  const cos = g.input('cos', 'float32', ['rows', 'tokens', rotaryHalf(config)])
  const sin = g.input('sin', 'float32', ['rows', 'tokens', rotaryHalf(config)])
  const masks = new Map<number | null, Value>()
  for (const window of windowsOf(config)) {
    const places = options.sharesKeys ? 'capacity+tokens+capacity+tokens' : 'capacity+tokens'
    masks.set(window, g.input(maskName(window), 'float32', ['rows', 1, 'tokens', places]))
  }
  const { kv = 'f32' } = options
  const places = ['rows', numKeyValueHeads, 'capacity'] as const
  const cached = (name: string): StoredKv => ({
    codes: g.input(name, kvDTypes[kv], [...places, headDim]),
    scale: kv === 'int8' ? g.input(`${name}_scale`, 'float32', places) : undefined,
  })
  const past = config.slidingWindows.map((_, layer) => asBlock(cached(`past.${layer}.key`), cached(`past.${layer}.value`)))
  const present: KeyValueBlock[] = []
  const bank = new Map<string, Value>()
  for (const [name, shape] of options.adapters ?? []) bank.set(name, g.input(name, 'float32', shape))
  const streamIds = bank.size > 0 ? g.input('stream_ids', 'int64', ['rows']) : undefined
  const sharedRows = options.sharesKeys ? g.input('shared_rows', 'int64', ['rows']) : undefined
  const out = decoder(g, config, externalWeights(g, find), {
    inputIds,
    cos,
    sin,
    mask: (window) => masks.get(window)!,
    // Apart: joining them would copy the whole cache at every step.
    attended: (layer, { key, value }) => {
      present[layer] = asBlock(storedKv(g, kv, key), storedKv(g, kv, value))
      const own = [past[layer]!, present[layer]]
      return sharedRows ? [...own, ...own.map((block) => ofRows(g, block, sharedRows))] : own
    },
    adapt: streamIds && bankAdapt(g, bank, streamIds, ['rows', 'tokens']),
  })
  g.output(out.hidden, 'hidden')
  for (const [layer, { key, keyScale, value, valueScale }] of present.entries()) {
    g.output(key, `present.${layer}.key`)
    g.output(value, `present.${layer}.value`)
    if (keyScale) g.output(keyScale, `present.${layer}.key_scale`)
    if (valueScale) g.output(valueScale, `present.${layer}.value_scale`)
  }
  if (options.layerInputs) for (const [layer, x] of out.layerInputs.entries()) g.output(x, `layer_input.${layer}`)
  return g.build()
}

/** What these rows have, [R, ...]. */
function ofRows(g: GraphBuilder, { key, keyScale, value, valueScale }: KeyValueBlock, rows: Value): KeyValueBlock {
  const some = (x: Value | undefined) => x && g.gather(x, rows)
  return { key: g.gather(key, rows), keyScale: some(keyScale), value: g.gather(value, rows), valueScale: some(valueScale) }
}

const asBlock = (key: StoredKv, value: StoredKv): KeyValueBlock => ({
  key: key.codes,
  keyScale: key.scale,
  value: value.codes,
  valueScale: value.scale,
})

/** `streams` [N, P, H] in; `hidden` [N, H] and `weights` [N, P] out. */
export function aggregatorGraph(config: ModelConfig, find: FindWeight): Graph<OpName> {
  const g = new GraphBuilder(`aggregator-p${config.parscale.n}`)
  const streams = g.input('streams', 'float32', ['tokens', config.parscale.n, config.hiddenSize])
  const out = aggregate(g, config, externalWeights(g, find), streams)
  g.output(out.hidden, 'hidden')
  g.output(out.streamWeights, 'weights')
  return g.build()
}

/** `hidden` [N, H] in, `logits` [N, vocabulary] out. */
export function outputGraph(config: ModelConfig, find: FindWeight, tied: boolean): Graph<OpName> {
  const g = new GraphBuilder('output-embedding')
  const hidden = g.input('hidden', 'float32', ['tokens', config.hiddenSize])
  g.output(outputEmbedding(g, config, externalWeights(g, find), tied, hidden), 'logits')
  return g.build()
}
