/**
 * What training renews is written over what is read: parameters, moments and gradients. A run in place gives the bits of one that writes
 * elsewhere, in graphs of many tensors, whose kernels are cut in the middle of a tensor's update.
 */
import { createRandom } from '@parscale/core/internal'
import type { Graph } from '@parscale/core/internal/graph'
import {
  backboneParameters,
  type ModelConfig,
  parscaleConfig,
  plainFeatures,
  type StreamInput,
  streamParameters,
} from '@parscale/core/internal/model'
import { gradientGraph, type TrainPlan, updateGraph } from '@parscale/core/internal/training'
import { Tensor } from 'onnxruntime-common'
import { expect, it } from 'vitest'
import { nativeRuntime } from '../src/index.ts'

type Tensors = Record<string, Tensor>

function planOf(layers: number, P: number, input: readonly StreamInput[]): TrainPlan {
  const config: ModelConfig = {
    ...{ modelType: 'qwen2_parscale', vocabSize: 32, hiddenSize: 16, intermediateSize: 24, numHiddenLayers: layers },
    ...{ numAttentionHeads: 2, numKeyValueHeads: 2, headDim: 8, rmsNormEps: 1e-6, ropeTheta: 10_000 },
    ...{ ropeScaling: { type: 'default' }, maxPositionEmbeddings: 8, tieWordEmbeddings: true, mlpBias: false, qkNorm: false },
    ...{ attentionBias: { qkv: true, o: false }, slidingWindows: new Array<null>(layers).fill(null), features: plainFeatures },
    ...{ bosTokenId: null, eosTokenIds: [], parscale: parscaleConfig({ n: P, ...(P > 1 && { input: [...input] }) }), raw: {} },
  }
  return {
    config,
    tied: true,
    trainable: [...backboneParameters(config, true), ...streamParameters(config)],
    frozen: (name) => expect.unreachable(`${name}: everything is trained`),
    shape: { sequences: 2, tokens: 8 },
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 },
  }
}

/** Numbers for every input of a graph. */
function feedsOf(graph: Graph): Tensors {
  const random = createRandom(1)
  return Object.fromEntries(
    graph.inputs.map(({ name, dtype, shape }) => {
      const count = (shape as number[]).reduce((a, b) => a * b, 1)
      // Second moments are squares; ids are below the vocabulary.
      if (dtype === 'int64')
        return [
          name,
          new Tensor(
            'int64',
            BigInt64Array.from({ length: count }, () => BigInt(random.below(8))),
            shape as number[],
          ),
        ]
      return [
        name,
        new Tensor(
          'float32',
          Float32Array.from({ length: count }, () => Math.abs(random.normal()) / 4),
          shape as number[],
        ),
      ]
    }),
  )
}

const copyOf = (feeds: Tensors): Tensors =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, { type, data, dims }]) => [
      name,
      new Tensor(type as 'float32', (data as Float32Array).slice(), [...dims]),
    ]),
  )

it.each([
  [2, 1, []],
  [2, 4, ['scales', 'bitfit', 'norms']],
  [3, 4, ['scales', 'bitfit', 'norms']],
  [6, 1, []],
  [12, 1, []],
  [6, 2, ['prefix']],
  [6, 2, ['scales', 'lora', 'bitfit', 'norms']],
] as [number, number, StreamInput[]][])('%i layers, P = %i, %j', async (layers, P, input) => {
  const plan = planOf(layers, P, input)
  for (const graph of [updateGraph(plan), gradientGraph(plan, { accumulate: true })]) {
    const session = await nativeRuntime({ threads: 1 }).createSession(graph)
    const feeds = feedsOf(graph)
    const fresh = await session.run(copyOf(feeds))
    const own = copyOf(feeds)
    const renewed = graph.outputs.filter(({ name }) => name.startsWith('next.'))
    expect(renewed.length).toBeGreaterThan(0)
    const places = Object.fromEntries(renewed.map(({ name }) => [name, own[name.slice('next.'.length)]!]))
    const inPlace = await session.run(own, places)
    const differing = graph.outputs.filter(
      ({ name }) => !same(fresh[name]!.data as Float32Array, inPlace[name]!.data as Float32Array),
    )
    expect(differing.map(({ name }) => name)).toEqual([])
    await session.dispose()
  }
})

const same = (a: Float32Array, b: Float32Array): boolean => a.length === b.length && a.every((x, i) => Object.is(x, b[i]))
