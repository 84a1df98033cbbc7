/** What makes probabilities of logits, worked out beside them, against the language's own arithmetic in double precision. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { logSumExp } from '../../core/src/generation/index.ts'
import { fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { randomFrom } from '../../core/src/testing/small-random.ts'
import { instructionSets, NativeModel } from '../src/index.ts'
import { type PackedFolder, packFolder } from './support/streams.ts'

let packed: PackedFolder
beforeAll(async () => {
  packed = await packFolder(`${fixturesFolder}transformers/mistral-window`)
})
afterAll(() => packed.remove())

it.each(instructionSets())('%s: normalisers and largest logits are those of the rows', async (instructionSet) => {
  const model = new NativeModel(packed.backbone, { threads: 2, instructionSet })
  const { hiddenSize, vocabSize } = model.facts
  const random = randomFrom(7)
  const n = 19
  // From even rows to rows with one token alone.
  const hidden = Float32Array.from(
    { length: n * hiddenSize },
    (_, i) => (random.below(2 ** 20) / 2 ** 20 - 0.5) * 2 ** (Math.floor(i / hiddenSize) - 4),
  )
  const plain = await model.logits(hidden)
  for (const room of [undefined, new Float32Array(new SharedArrayBuffer(4 * (n + 2) * vocabSize))]) {
    const { logits, normalisers, largest } = await model.normalisedLogits(hidden, room)
    expect([...logits]).toEqual([...plain])
    expect([normalisers.length, largest.length]).toEqual([n, n])
    for (let row = 0; row < n; row++) {
      const values = plain.subarray(row * vocabSize, (row + 1) * vocabSize)
      expect(largest[row]).toBe(Math.max(...values))
      expect(Math.abs(normalisers[row]! - logSumExp(values))).toBeLessThan(1e-6 + 1e-12 * Math.abs(largest[row]!))
    }
  }
  await model.dispose()
})

it('are no numbers where a logit is none, and the other rows are as before', async () => {
  const model = new NativeModel(packed.backbone, { threads: 2 })
  const { hiddenSize, vocabSize } = model.facts
  const hidden = new Float32Array(3 * hiddenSize).fill(0.25)
  hidden[hiddenSize] = Number.NaN
  const { logits, normalisers, largest } = await model.normalisedLogits(hidden)
  expect([normalisers[1], largest[1]]).toEqual([Number.NaN, Number.NaN])
  for (const row of [0, 2]) {
    const values = logits.subarray(row * vocabSize, (row + 1) * vocabSize)
    expect(Math.abs(normalisers[row]! - logSumExp(values))).toBeLessThan(1e-6)
    expect(largest[row]).toBe(Math.max(...values))
  }
  await model.dispose()
})
