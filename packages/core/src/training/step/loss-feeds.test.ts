import type { Tensor } from 'onnxruntime-common'
import { describe, expect, it } from 'vitest'
import { type ModelConfig, parscaleConfig } from '../../model/index.ts'
import { lossFeeds, positionFeeds, tokenFeeds } from './loss-feeds.ts'

const config = {
  vocabSize: 100,
  headDim: 4,
  ropeTheta: 10000,
  ropeScaling: { type: 'default' },
  maxPositionEmbeddings: 8,
  slidingWindows: [null, 2],
  parscale: parscaleConfig({ n: 2, nTokens: 3 }),
} as unknown as ModelConfig
const shape = { sequences: 2, tokens: 3 }
const ids = [1, 2, 3, 4, 11, 12, 13, 14]
const numbers = (data: unknown) => [...(data as BigInt64Array | Float32Array)].map(Number)

describe('tokenFeeds', () => {
  it('takes each sequence apart into what is read and what is predicted', () => {
    const [feeds] = tokenFeeds(config, shape, [{ ids }])
    expect(feeds!.input_ids!.dims).toEqual([2, 3])
    expect(numbers(feeds!.input_ids!.data)).toEqual([1, 2, 3, 11, 12, 13])
    expect(numbers(feeds!.targets!.data)).toEqual([2, 3, 4, 12, 13, 14])
  })

  it('shares one unit of weight among the positions of all batches', () => {
    const feeds = tokenFeeds(config, shape, [{ ids }, { ids, weights: [0, 2, 0, 0, 0, 0] }])
    expect(numbers(feeds[0]!.loss_weights!.data)).toEqual(new Array(6).fill(1 / 8))
    expect(numbers(feeds[1]!.loss_weights!.data)).toEqual([0, 1 / 4, 0, 0, 0, 0])
  })

  it.each([
    [{ ids: ids.slice(1) }, 'expected 2 sequences of 4 tokens, 8 in all, got 7'],
    [{ ids: [...ids.slice(1), 100] }, 'token id 100 at 7 is not in the vocabulary of 100'],
    [{ ids: [...ids.slice(1), -1] }, 'token id -1 at 7'],
    [{ ids, weights: new Array(6).fill(0) }, 'the weights of a step sum to 0'],
    [{ ids, weights: [1, 1] }, 'expected 6 loss weights, got 2'],
  ])('refuses what does not fit: %o', (batch, message) => {
    expect(() => tokenFeeds(config, shape, [batch])).toThrow(message)
  })
})

describe('positionFeeds', () => {
  it('lets every token see the whole prefix and what came before it', () => {
    const { mask } = positionFeeds(config, shape)
    expect(mask!.dims).toEqual([1, 1, 3, 6])
    expect(
      numbers(mask!.data)
        .map((x) => (x === 0 ? 1 : 0))
        .join(''),
    ).toBe('111100' + '111110' + '111111')
  })

  it('lets layers with a window see only that far, but always the prefix', () => {
    const row = numbers(positionFeeds(config, shape)['mask.window2']!.data)
    expect(row.map((x) => (x === 0 ? 1 : 0)).join('')).toBe('111100' + '111110' + '111011')
  })

  it('refuses sequences longer than the model', () => {
    expect(() => positionFeeds(config, { sequences: 1, tokens: 9 })).toThrow('9 positions, but the model has 8')
  })
})

describe('lossFeeds with documentMask', () => {
  const plan = { config, tied: true, shape, documentMask: true }
  const seen = (mask: Tensor | undefined) => numbers(mask!.data).map((x) => (x === 0 ? 1 : 0))

  it('lets tokens see the prefix and their own document only', () => {
    const [feeds] = lossFeeds(plan)([{ ids, documents: [0, 0, 1, 1, 5, 6, 6, 6] }])
    expect(feeds!.mask!.dims).toEqual([2, 1, 3, 6])
    expect(seen(feeds!.mask).join('')).toBe('111100' + '111110' + '111001' + '111100' + '111010' + '111011')
    expect(seen(feeds!['mask.window2']).join('')).toBe('111100' + '111110' + '111001' + '111100' + '111010' + '111011')
  })

  it('gives the common masks where all is one document', () => {
    const [feeds] = lossFeeds(plan)([{ ids, documents: new Array(8).fill(3) }])
    for (const name of ['mask', 'mask.window2']) {
      const common = seen(positionFeeds(config, shape)[name])
      expect(seen(feeds![name])).toEqual([...common, ...common])
    }
  })

  it.each([
    [undefined, 'the document of each token is needed'],
    [[0, 0, 0], 'got 3 document numbers'],
  ])('refuses documents %o', (documents, message) => {
    expect(() => lossFeeds(plan)([{ ids, ...(documents ? { documents } : {}) }])).toThrow(message)
  })
})
