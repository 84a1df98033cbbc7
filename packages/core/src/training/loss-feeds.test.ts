import { describe, expect, it } from 'vitest'
import { type ModelConfig, parscaleConfig } from '../model/index.ts'
import { positionFeeds, tokenFeeds } from './loss-feeds.ts'

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
  it('repeats each sequence for its streams, side by side, and shifts the targets by one', () => {
    const [feeds] = tokenFeeds(config, shape, [{ ids }])
    expect(feeds!.input_ids!.dims).toEqual([4, 3])
    expect(numbers(feeds!.input_ids!.data)).toEqual([1, 2, 3, 1, 2, 3, 11, 12, 13, 11, 12, 13])
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
    expect(mask!.dims).toEqual([4, 1, 3, 6])
    const row = numbers(mask!.data).slice(-18)
    expect(row.map((x) => (x === 0 ? 1 : 0)).join('')).toBe('111100' + '111110' + '111111')
  })

  it('lets layers with a window see only that far, but always the prefix', () => {
    const row = numbers(positionFeeds(config, shape)['mask.window2']!.data).slice(-18)
    expect(row.map((x) => (x === 0 ? 1 : 0)).join('')).toBe('111100' + '111110' + '111011')
  })

  it('refuses sequences longer than the model', () => {
    expect(() => positionFeeds(config, { sequences: 1, tokens: 9 })).toThrow('9 positions, but the model has 8')
  })
})
