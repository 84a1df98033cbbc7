import { expect, it } from 'vitest'
import { freshShape } from './fresh-shape.ts'

it.each([
  [{}, [192, 512, 6, 2, 32]],
  [{ hiddenSize: 48 }, [48, 128, 2, 1, 24]],
  [{ hiddenSize: 96 }, [96, 256, 3, 1, 32]],
  [{ hiddenSize: 32 }, [32, 88, 1, 1, 32]],
  [{ hiddenSize: 576 }, [576, 1536, 18, 6, 32]],
  [{ hiddenSize: 62 }, [62, 168, 1, 1, 62]],
  [{ hiddenSize: 96, numAttentionHeads: 4 }, [96, 256, 4, 1, 24]],
  [{ numAttentionHeads: 7 }, [192, 512, 7, 1, 32]],
  [{ headDim: 64 }, [192, 512, 3, 1, 64]],
])('the shape from %j', (options, [hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim]) => {
  expect(freshShape(options)).toMatchObject({ hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim })
})

it('a width that no heads fill is refused', () => {
  expect(() => freshShape({ hiddenSize: 7 })).toThrow(/even one, such as 8, or give the heads as well/)
})
