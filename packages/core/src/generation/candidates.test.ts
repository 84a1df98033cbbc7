import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CandidateOptions, Candidates } from './candidates.ts'

/** Probability of each token, 0 for those that were left out. */
function distribution(logits: readonly number[], options: CandidateOptions): number[] {
  const scores = Float32Array.from(logits)
  const candidates = new Candidates(scores.length)
  candidates.select(scores, Math.max(...scores), options)
  const probabilities = new Array<number>(scores.length).fill(0)
  for (let i = 0; i < candidates.count; i++) probabilities[candidates.ids[i]!] = candidates.weights[i]! / candidates.total
  return probabilities
}

// Few different values, so that ties are common.
const logit = fc.integer({ min: -40, max: 40 }).map((x) => x / 8)
const logitsArbitrary = fc.array(logit, { minLength: 1, maxLength: 60 })
const distinctLogits = fc.uniqueArray(logit, { minLength: 1, maxLength: 60 })
const temperature = fc.constantFrom(0.3, 1, 2)
const options = fc.record(
  {
    temperature,
    topK: fc.integer({ min: 1, max: 70 }),
    topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
    minP: fc.double({ min: 0, max: 1, noNaN: true }),
  },
  { requiredKeys: ['temperature'] },
)

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)

describe('any options', () => {
  test('probabilities sum to 1, and the likeliest token is among them', () => {
    fc.assert(
      fc.property(logitsArbitrary, options, (logits, choice) => {
        const probabilities = distribution(logits, choice)
        expect(sum(probabilities)).toBeCloseTo(1, 12)
        expect(probabilities[logits.indexOf(Math.max(...logits))]).toBe(Math.max(...probabilities))
      }),
    )
  })

  test('renaming the tokens renames the distribution (no ties)', () => {
    fc.assert(
      fc.property(distinctLogits, options, fc.integer(), (logits, choice, shift) => {
        const place = (i: number) => (((i + shift) % logits.length) + logits.length) % logits.length
        const moved = distribution(
          logits.map((_, i) => logits[place(i)]!),
          choice,
        )
        const plain = distribution(logits, choice)
        for (const [i, p] of moved.entries()) expect(p).toBeCloseTo(plain[place(i)]!, 12)
      }),
    )
  })
})

test('weights are exponentials, at any temperature', () => {
  const scores = fc.array(fc.double({ min: -1e30, max: 1e30, noNaN: true }), { minLength: 1, maxLength: 20 })
  const near = fc.array(fc.double({ min: -60, max: 60, noNaN: true }), { minLength: 1, maxLength: 20 })
  const temperature = fc.oneof(fc.double({ min: 0.01, max: 100, noNaN: true }), fc.constantFrom(Number.MIN_VALUE, 1e-300, 1e300))
  fc.assert(
    fc.property(fc.oneof(scores, near), temperature, (given, temperature) => {
      const scores = Float32Array.of(...given, -Infinity)
      const max = Math.max(...scores)
      const candidates = new Candidates(scores.length)
      candidates.select(scores, max, { temperature })
      const weights = new Map([...candidates.ids.subarray(0, candidates.count)].map((id, i) => [id, candidates.weights[i]!]))
      expect(weights.has(given.length)).toBe(false)
      for (const [id, score] of scores.entries()) {
        const expected = score === max ? 1 : Math.exp((score - max) / temperature)
        expect(Math.abs((weights.get(id) ?? 0) - expected)).toBeLessThanOrEqual(1e-12 * expected + 1e-300)
      }
    }),
    { numRuns: 1000 },
  )
})

describe('top-k', () => {
  test('keeps exactly the tokens that fewer than k others beat', () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.integer({ min: 1, max: 70 }), (logits, topK) => {
        const kept = distribution(logits, { temperature: 1, topK }).map((p) => p > 0)
        expect(kept).toEqual(logits.map((own) => logits.filter((other) => other > own).length < topK))
      }),
    )
  })
})

describe('top-p', () => {
  test('keeps the smallest set: enough, and without its least likely member not enough', () => {
    fc.assert(
      fc.property(logitsArbitrary, temperature, fc.double({ min: 0.01, max: 0.999, noNaN: true }), (logits, t, topP) => {
        const full = distribution(logits, { temperature: t })
        const kept = full.filter((_, i) => distribution(logits, { temperature: t, topP })[i]! > 0)
        expect(sum(kept)).toBeGreaterThanOrEqual(topP - 1e-12)
        expect(sum(kept) - Math.min(...kept)).toBeLessThan(topP + 1e-12)
        // No token outside is likelier than one inside.
        expect(kept.length).toBe(
          full.filter((p) => p > Math.min(...kept)).length + kept.filter((p) => p === Math.min(...kept)).length,
        )
      }),
    )
  })

  test('between equals the lower id stays', () => {
    expect(distribution([1, 1, 1, 1], { temperature: 1, topP: 0.5 })).toEqual([0.5, 0.5, 0, 0])
  })

  test('a large flat vocabulary', () => {
    const kept = distribution(new Array<number>(50_000).fill(0), { temperature: 1, topP: 0.25 }).filter((p) => p > 0)
    expect(kept.length).toBe(12_500)
  })
})

test('pick() gives each token its share of [0, 1)', () => {
  const candidates = new Candidates(4)
  candidates.select(Float32Array.of(Math.log(1), Math.log(5), -Infinity, Math.log(2)), Math.log(5), { temperature: 1 })
  expect([0, 0.12, 0.13, 0.74, 0.76, 0.999].map((u) => candidates.pick(u))).toEqual([0, 0, 1, 1, 3, 3])
})

test('draw() is select() and pick(), with and without weights that are kept', () => {
  const many = fc.tuple(logitsArbitrary, fc.integer({ min: 1, max: 30 })).map(([logits, times]) => {
    const banned = logits.map((x) => (x === 0 ? -Infinity : x))
    return Array.from({ length: times }, () => [...logits, ...banned, -1000]).flat()
  })
  const share = fc.oneof(fc.constantFrom(0, 1 - 2 ** -53), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))
  fc.assert(
    fc.property(many, options, share, (logits, choice, u) => {
      const scores = Float32Array.from(logits)
      const max = Math.max(...scores)
      const candidates = new Candidates(scores.length)
      const drawn = candidates.draw(scores, max, choice, u)
      candidates.select(scores, max, choice)
      if (candidates.pick(u) === drawn) return
      // Sums are rounded otherwise: at the edge of its share, the token beside it.
      const near = [u - 1e-12, u + 1e-12].map((each) => candidates.pick(Math.min(Math.max(each, 0), 1 - 2 ** -53)))
      expect(near).toContain(drawn)
    }),
    { numRuns: 2000 },
  )
})
