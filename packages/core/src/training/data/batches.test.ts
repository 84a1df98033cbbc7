import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesSource } from '../../checkpoint/byte-source.ts'
import { memorySink } from '../../checkpoint/testing/memory-sink.ts'
import { type DataBatch, evaluationBatches, trainingBatches } from './batches.ts'
import { packSequences } from './packing.ts'
import { openTokenFile, type TokenFile } from './token-file.ts'
import { tokenFileWriter } from './token-file-writer.ts'

/** A file of documents with these lengths, whose token number i has id i. */
async function numberedFile(lengths: readonly number[], masked = false): Promise<TokenFile> {
  const sink = memorySink()
  const writer = await tokenFileWriter(sink, { vocabSize: 2 ** 16, masked, tokenizer: '' })
  let next = 0
  for (const length of lengths) {
    const ids = Uint32Array.from({ length }, () => next++)
    await writer.write({ ids, ...(masked && { counted: ids.map((id) => id % 2) as unknown as Uint8Array }) })
  }
  await writer.finish(null)
  return openTokenFile(bytesSource(sink.bytes(), 'numbered'))
}

const lengthsOf = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 })
const endsOf = (lengths: readonly number[]) =>
  Float64Array.from(lengths, (_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b))
const range = (start: number, end: number) => Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i)

describe('packing', () => {
  /** Every token that is predicted, in order of sequences: all but each one's first. */
  const predicted = ({ count, range: at }: ReturnType<typeof packSequences>): number[] =>
    range(0, count).flatMap((i) => range(at(i).start + 1, at(i).start + at(i).length))

  it('predicts every token once: in a stream all but the first and what is left over', () => {
    fc.assert(
      fc.property(lengthsOf, fc.integer({ min: 1, max: 20 }), (lengths, tokens) => {
        const ends = endsOf(lengths)
        const total = ends.at(-1)!
        const rest = (total - 1) % tokens
        expect(predicted(packSequences(ends, tokens, 'stream'))).toEqual(range(1, total - rest))
        expect(predicted(packSequences(ends, tokens, 'streamWithRest'))).toEqual(range(1, total))
      }),
    )
  })

  it('predicts every token once: by documents all but the first of each, never across', () => {
    fc.assert(
      fc.property(lengthsOf, fc.integer({ min: 1, max: 20 }), (lengths, tokens) => {
        const ends = endsOf(lengths)
        const packed = packSequences(ends, tokens, 'document')
        expect(predicted(packed)).toEqual([...ends].flatMap((end, d) => range((ends[d - 1] ?? 0) + 1, end)))
        for (const { start, length } of range(0, packed.count).map(packed.range)) {
          expect([...ends].filter((end) => end > start && end < start + length)).toEqual([])
          expect(length <= tokens + 1 && length >= 2).toBe(true)
        }
      }),
    )
  })

  it('refuses sequences without tokens', () => {
    expect(() => packSequences(Float64Array.of(5), 0, 'stream')).toThrow('at least 1, got 0')
  })
})

describe('training batches', () => {
  it('hold every sequence once an epoch', async () => {
    const file = await numberedFile([30, 1, 70, 28])
    const batches = trainingBatches(file, { batchSize: 3, tokens: 4, seed: 7 })
    expect([batches.sequences, batches.stepsPerEpoch]).toEqual([32, 32 / 3])
    const starts: number[] = []
    for (const step of range(0, 32)) {
      const { ids } = await batches.batch(step)
      starts.push(ids[0]!, ids[5]!, ids[10]!)
    }
    const inOrder = range(0, 32).map((i) => i * 4)
    for (const epoch of [0, 1, 2]) {
      const ofEpoch = starts.slice(epoch * 32, epoch * 32 + 32)
      expect(ofEpoch.toSorted((a, b) => a - b)).toEqual(inOrder)
      expect(ofEpoch).not.toEqual(inOrder)
    }
    expect(starts.slice(0, 32)).not.toEqual(starts.slice(32, 64))
  })

  it('resume at any step as if they had never stopped', async () => {
    const file = await numberedFile([50, 50, 101])
    const options = { batchSize: 2, tokens: 5, seed: 3 }
    const whole = trainingBatches(file, options)
    const continuous: DataBatch[] = []
    for (const step of range(0, 60)) continuous.push(await whole.batch(step))
    await fc.assert(
      fc.asyncProperty(fc.nat(59), async (step) => {
        expect(await trainingBatches(file, options).batch(step)).toEqual(continuous[step])
        expect(await whole.batch(step)).toEqual(continuous[step]) // going back and forth between epochs, too
      }),
    )
  })

  it('say which document each token is of, and which tokens count', async () => {
    const file = await numberedFile([3, 2, 4], true)
    const { ids, weights, documents } = await trainingBatches(file, { batchSize: 1, tokens: 8, seed: 0 }).batch(0)
    expect([...ids]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
    expect([...documents]).toEqual([0, 0, 0, 1, 1, 2, 2, 2, 2])
    expect([...weights]).toEqual([1, 0, 1, 0, 1, 0, 1, 0])
  })

  it('refuse data that are too small, and batches of nothing', async () => {
    const file = await numberedFile([2, 2])
    expect(() => trainingBatches(file, { batchSize: 1, tokens: 4, seed: 0 })).toThrow(
      'numbered: 4 tokens in 2 documents are too few for a sequence of 4 + 1; use more data or shorter sequences',
    )
    expect(() => trainingBatches(file, { batchSize: 0, tokens: 1, seed: 0 })).toThrow('batch size')
    expect(() => evaluationBatches(file, { batchSize: 1.5, tokens: 1 })).toThrow('batch size')
  })
})

describe('evaluation batches', () => {
  it('predict every token once, and count nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(lengthsOf, fc.constantFrom('streamWithRest', 'document'), async (lengths, packing) => {
        fc.pre(Math.max(...lengths) > 1)
        const [file, tokens] = [await numberedFile(lengths), 6]
        const batches = evaluationBatches(file, { batchSize: 4, tokens, packing, padTokenId: 9999 })
        const counted: number[] = []
        for (const step of range(0, batches.steps)) {
          const { ids, weights, documents } = await batches.batch(step)
          for (const i of range(0, ids.length)) {
            const [b, t] = [Math.floor(i / (tokens + 1)), i % (tokens + 1)]
            if (documents[i] === -1) expect(ids[i]).toBe(9999)
            else expect(file.ends[documents[i]!]! > ids[i]! && (file.ends[documents[i]! - 1] ?? 0) <= ids[i]!).toBe(true)
            if (t > 0 && weights[b * tokens + t - 1] === 1) counted.push(ids[i]!)
          }
        }
        const first = packing === 'document' ? [0, ...file.ends] : [0]
        expect(counted).toEqual(range(0, file.tokens).filter((id) => !first.includes(id)))
        await expect(batches.batch(batches.steps)).rejects.toThrow(RangeError)
      }),
      { numRuns: 60 },
    )
  })
})
