import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { logSoftmax } from './log-probabilities.ts'
import { createSampler, type SamplingOptions, validateSampling } from './sampling.ts'

interface Case {
  options: Omit<SamplingOptions, 'logitBias'> & { logitBias?: [number, number][] }
  promptIds: number[]
  generatedIds: number[]
  logits: number[]
  probabilities: number[]
  logSoftmax: number[]
}

const file = new URL('../../../../fixtures/sampling/distributions.json', import.meta.url)
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Case[] }

function samplerOf({ options, promptIds, generatedIds }: Case, seed: number) {
  const sampler = createSampler({ ...options, logitBias: new Map(options.logitBias), seed }, promptIds)
  for (const id of generatedIds) sampler.accept(id)
  return sampler
}

describe('against distributions from numpy and scipy', () => {
  // Chi-square by the normal approximation of Wilson and Hilferty; 48 fixed seeds, each at p = 1e-4.
  test.each(cases)('drawn frequencies: $options', (one) => {
    const draws = 20_000
    const sampler = samplerOf(one, 5)
    const logits = Float32Array.from(one.logits)
    const counts = new Array<number>(logits.length).fill(0)
    for (let i = 0; i < draws; i++) counts[sampler.sample(logits).id]!++

    let chiSquare = 0
    let cells = 0
    let rare = { expected: 0, found: 0 } // cells too small for the approximation, together
    one.probabilities.forEach((p, id) => {
      if (p === 0) expect(counts[id], `token ${id} was left out`).toBe(0)
      else if (p * draws < 5) rare = { expected: rare.expected + p * draws, found: rare.found + counts[id]! }
      else {
        chiSquare += (counts[id]! - p * draws) ** 2 / (p * draws)
        cells++
      }
    })
    if (rare.expected >= 5) {
      chiSquare += (rare.found - rare.expected) ** 2 / rare.expected
      cells++
    } else expect(rare.found).toBeLessThan(rare.expected + 15)
    const freedom = cells - 1
    const spread = 2 / (9 * freedom)
    if (freedom > 0) expect(Math.cbrt(chiSquare / freedom)).toBeLessThan(1 - spread + 3.72 * Math.sqrt(spread))
    else expect(counts[one.probabilities.indexOf(1)]).toBe(draws)
  })

  test.each(cases.slice(0, 6))("log-probability is the model's own, whatever the options: $options", (one) => {
    const logits = Float32Array.from(one.logits)
    const { id, logProbability } = samplerOf(one, 1).sample(logits)
    expect(logProbability).toBeCloseTo(one.logSoftmax[id]!, 12)
    for (const [i, value] of logSoftmax(logits).entries()) expect(value).toBeCloseTo(one.logSoftmax[i]!, 12)
    expect(logits).toEqual(Float32Array.from(one.logits))
  })
})

const draw = (options: SamplingOptions, logits: number[], promptIds: number[] = []) =>
  createSampler(options, promptIds).sample(Float32Array.from(logits)).id

describe('greedy', () => {
  test('largest, lowest id among equals, banned tokens never', () => {
    expect(draw({ temperature: 0 }, [1, 3, 3, 2])).toBe(1)
    expect(draw({ temperature: 0 }, [-Infinity, -5, -Infinity])).toBe(1)
    expect(draw({ temperature: 0 }, [-1e30])).toBe(0)
  })

  test('is what a temperature near 0 gives', () => {
    for (const one of cases) {
      const id = draw({ temperature: 1e-6 }, one.logits)
      expect(one.logits[id]).toBe(Math.max(...one.logits))
    }
  })

  test('sees bias and penalties', () => {
    expect(draw({ temperature: 0, logitBias: new Map([[1, -Infinity]]) }, [1, 3, 2])).toBe(2)
    expect(draw({ temperature: 0, repetitionPenalty: 2 }, [2, 3], [1])).toBe(0)
    expect(draw({ temperature: 0, repetitionPenalty: 2 }, [-3, -2], [1])).toBe(0)
    const sampler = createSampler({ temperature: 0, frequencyPenalty: 0.6 }, [0, 0, 0])
    const logits = Float32Array.of(2, 1)
    const ids = Array.from({ length: 4 }, () => {
      const { id } = sampler.sample(logits)
      sampler.accept(id)
      return id
    })
    expect(ids).toEqual([0, 0, 1, 0]) // the prompt does not count; 2, 1.4, 0.8 against 1, then 0.8 against 0.4
  })
})

test('same seed, same tokens; another seed, others; one token needs no luck', () => {
  const logits = Array.from({ length: 100 }, (_, i) => Math.sin(i))
  const series = (seed: number) => {
    const sampler = createSampler({ temperature: 1, seed }, [])
    return Array.from({ length: 20 }, () => sampler.sample(Float32Array.from(logits)).id)
  }
  expect(series(4)).toEqual(series(4))
  expect(series(4)).not.toEqual(series(5))
  expect(createSampler({ temperature: 1, topP: 0.5, topK: 3 }, []).sample(Float32Array.of(-7))).toEqual({
    id: 0,
    logProbability: 0,
  })
})

describe('errors', () => {
  test.each<[Partial<SamplingOptions>, string]>([
    [{ temperature: -1 }, 'temperature must be'],
    [{ temperature: Number.NaN }, 'temperature must be'],
    [{ topK: 0 }, 'topK must be'],
    [{ topK: 1.5 }, 'topK must be'],
    [{ topP: 0 }, 'topP must be'],
    [{ topP: 1.01 }, 'topP must be'],
    [{ minP: -0.1 }, 'minP must be'],
    [{ repetitionPenalty: 0 }, 'repetitionPenalty must be'],
    [{ repetitionPenalty: 1e-308 }, 'repetitionPenalty must be from 1e-6 to 1e6'],
    [{ repetitionPenalty: 1e308 }, 'repetitionPenalty must be'],
    [{ presencePenalty: 3 }, 'presencePenalty must be'],
    [{ frequencyPenalty: -2.5 }, 'frequencyPenalty must be'],
    [{ seed: 0.5 }, 'seed must be'],
    [{ logitBias: new Map([[-1, 1]]) }, 'logitBias: a token id'],
    [{ logitBias: new Map([[1, Infinity]]) }, 'logitBias: the bias of token 1'],
    [{ logitBias: new Map([[1, 1e308]]) }, 'must be from -1e+30 to 1e+30, or -Infinity'],
    [{ logitBias: new Map([[1, -1e308]]) }, 'logitBias: the bias of token 1'],
    [{ logitBias: new Map([[1, Number.NaN]]) }, 'logitBias: the bias of token 1'],
  ])('%o', (options, message) => {
    expect(() => validateSampling({ temperature: 1, ...options })).toThrow(message)
  })

  test('the widest values that are taken stay within float32 together', () => {
    const widest = { temperature: 1, repetitionPenalty: 1e-6, logitBias: new Map([[1, 1e30]]) }
    expect(draw(widest, [3e4, 3e4], [1])).toBe(1)
    expect(draw({ ...widest, repetitionPenalty: 1e6, logitBias: new Map([[1, -1e30]]) }, [3e4, 3e4], [1])).toBe(0)
  })

  test('logits that no draw can be made from are named', () => {
    expect(() => draw({ temperature: 1 }, [1, Number.NaN])).toThrow('token 1 is NaN')
    expect(() => draw({ temperature: 0 }, [1, Infinity])).toThrow('token 1 is +Infinity')
    expect(() => draw({ temperature: 1 }, [-Infinity, -Infinity])).toThrow('all 2 tokens are banned')
    expect(() => draw({ temperature: 1, logitBias: new Map([[0, -Infinity]]) }, [1])).toThrow('all 1 tokens are banned')
  })

  test('ids outside the vocabulary', () => {
    expect(() => draw({ temperature: 0, logitBias: new Map([[9, 1]]) }, [1, 2])).toThrow(
      'token id 9 is outside the vocabulary of 2',
    )
    expect(() => draw({ temperature: 0, repetitionPenalty: 2 }, [1, 2], [5])).toThrow('token id 5 of the history')
  })
})
