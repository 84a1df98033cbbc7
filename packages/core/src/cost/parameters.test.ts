import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseModelConfig } from '../checkpoint/index.ts'
import { publishedPoints } from '../law/published.ts'
import {
  backboneParameters,
  elementCount,
  type ModelConfig,
  type Part,
  parscaleConfig,
  streamParameters,
} from '../model/index.ts'
import { countParameters } from './parameters.ts'
import { type ModelShape, publishedModels, validateShape } from './shapes.ts'

test('the formula gives all 24 published N', () => {
  const counted = [1, 2, 4, 8].flatMap((P) => publishedModels.map(({ shape }) => countParameters(shape, P).nonEmbedding))
  expect(counted).toEqual(publishedPoints('pile').map(({ N }) => N))
})

describe('against the tensors of real checkpoints', () => {
  const models = new URL('../../../../fixtures/goldens/', import.meta.url)

  test.each(readdirSync(models).filter((name) => !name.includes('.')))('%s', (name) => {
    const config = JSON.parse(readFileSync(new URL(`${name}/config.json`, models), 'utf8')) as Record<
      string,
      number | boolean | undefined
    >
    const file = readFileSync(new URL(`${name}/model.safetensors`, models))
    const headerBytes = Number(file.readBigUInt64LE(0))
    const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<string, { shape: number[] }>
    const stored = (matches: (tensor: string) => boolean) =>
      Object.entries(header)
        .filter(([tensor]) => tensor !== '__metadata__' && matches(tensor))
        .reduce((sum, [, { shape }]) => sum + shape.reduce((product, size) => product * size, 1), 0)

    const numAttentionHeads = config.num_attention_heads as number
    const shape: ModelShape = {
      vocabSize: config.vocab_size as number,
      hiddenSize: config.hidden_size as number,
      intermediateSize: config.intermediate_size as number,
      numHiddenLayers: config.num_hidden_layers as number,
      numAttentionHeads,
      numKeyValueHeads: config.num_key_value_heads as number,
      headDim: (config.hidden_size as number) / numAttentionHeads,
      attentionBias: { qkv: true, o: false },
      mlpBias: false,
      qkNorm: false,
      tiedEmbeddings: config.tie_word_embeddings === true,
      prefixTokens: (config.parscale_n_tokens as number | undefined) ?? 0,
    }
    const counts = countParameters(validateShape(shape), (config.parscale_n as number | undefined) ?? 1)
    expect(counts.total).toBe(stored(() => true))
    expect(counts.nonEmbedding).toBe(stored((tensor) => !/embed_tokens|lm_head/.test(tensor)))
    expect(counts.prefixes).toBe(stored((tensor) => tensor.includes('prefix_')))
    expect(counts.aggregation).toBe(stored((tensor) => tensor.includes('aggregate_layer')))
    expect(counts.norms).toBe(stored((tensor) => tensor.includes('norm')))
  })
})

describe('streams of every kind are counted as their tensors', () => {
  const config = (streams: Parameters<typeof parscaleConfig>[0]): ModelConfig => ({
    ...parseModelConfig(
      JSON.parse(readFileSync(new URL('../../../../fixtures/transformers/qwen3/config.json', import.meta.url), 'utf8')),
    ),
    parscale: parscaleConfig(streams),
  })
  test.each([
    { n: 1, input: 'prefix', nTokens: 7 },
    { n: 3, input: 'prefix', nTokens: 7, gate: true, aggregation: 'static' },
    { n: 2, input: 'lora', loraRank: 5 },
    { n: 4, input: 'bitfit', aggregation: 'average' },
    { n: 3, input: 'scales' },
    { n: 2, input: ['prefix', 'lora', 'norms'], nTokens: 3, loraRank: 2 },
  ] as const)('%j', (streams) => {
    const model = config(streams)
    const { parscale } = model
    const shape = { ...model, tiedEmbeddings: false, prefixTokens: parscale.nTokens, streams: parscale }
    const counts = countParameters(shape, parscale.n)
    const stored = (part: Part) =>
      streamParameters(model)
        .filter((parameter) => parameter.part === part)
        .reduce((sum, parameter) => sum + elementCount(parameter.shape), 0)
    expect(counts).toMatchObject({
      prefixes: stored('prefix'),
      adapters: stored('adapter'),
      aggregation: stored('aggregation'),
    })
    const plain = backboneParameters(model, false).reduce((sum, parameter) => sum + elementCount(parameter.shape), 0)
    expect(countParameters({ ...shape, streams: { ...parscale, n: 2 } }, 1).total).toBe(plain)
  })
})

test('untied embeddings, other biases and q/k norms are counted', () => {
  const { shape } = publishedModels[0]!
  const plain = countParameters(shape, 1)
  expect(countParameters({ ...shape, tiedEmbeddings: false }, 1).total - plain.total).toBe(151936 * 896)
  expect(countParameters({ ...shape, qkNorm: 'head' }, 1).total - plain.total).toBe(36 * 2 * 56)
  expect(countParameters({ ...shape, attentionBias: { qkv: false, o: true } }, 1).total - plain.total).toBe(36 * (896 - 1120))
  expect(countParameters({ ...shape, mlpBias: true }, 1).total - plain.total).toBe(36 * (2 * 4864 + 896))
})

test('impossible shapes are refused by name', () => {
  const { shape } = publishedModels[0]!
  expect(() => validateShape({ ...shape, numHiddenLayers: 0 })).toThrow(
    'numHiddenLayers must be a whole number of at least 1, got 0',
  )
  expect(() => validateShape({ ...shape, numKeyValueHeads: 3 })).toThrow('not a multiple of numKeyValueHeads 3')
})
