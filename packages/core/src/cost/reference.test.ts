import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { figure4Points, headline } from './figure4.ts'
import { referenceCost } from './reference.ts'
import { publishedModel } from './shapes.ts'

interface Case {
  model: string
  P: number
  batch: number
  input: number
  output: number
  memory: number
  latency: number
  memory_terms?: Record<string, number>
  latency_terms?: Record<string, number>
}
interface Ratio {
  base: number
  parallel: number
  parameter_scaling_at_equal_loss: number
  ratio: number
}
const golden = JSON.parse(readFileSync(new URL('../../../../fixtures/law/cost-analysis.json', import.meta.url), 'utf8')) as {
  grid: Case[]
  other_cases: Case[]
  figure4_mean_over_lengths: { model: string; P: number; batch: number; memory: number; latency: number }[]
  headline_1_6B_P8_against_parameter_scaling: Record<string, { memory: Ratio; latency: Ratio }>
}

/** 1e-9 relative; terms that are 0 must be 0. */
function expectClose(found: number, expected: number, what: string): void {
  expect(Math.abs(found - expected), `${what}: ${found} against ${expected}`).toBeLessThanOrEqual(1e-9 * Math.abs(expected))
}

const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

describe.each([
  ['grid', golden.grid, 384],
  ['other cases', golden.other_cases, 9],
] as const)('the published script, %s', (_, cases, count) => {
  test(`all ${count} cases, every term, to 1e-9`, () => {
    expect(cases.length).toBe(count)
    for (const one of cases) {
      const cost = referenceCost(publishedModel(one.model).shape, {
        P: one.P,
        batch: one.batch,
        inputTokens: one.input,
        outputTokens: one.output,
      })
      const what = `${one.model} P${one.P} batch ${one.batch} ${one.input}+${one.output}`
      expectClose(cost.memoryBytes, one.memory, `${what} memory`)
      expectClose(cost.latencySeconds, one.latency, `${what} latency`)
      for (const [terms, expected] of [
        [cost.memory, one.memory_terms],
        [cost.latency, one.latency_terms],
      ] as const) {
        if (expected === undefined) continue
        expect(Object.keys(terms)).toEqual(Object.keys(expected).map(camel))
        for (const [name, value] of Object.entries(expected))
          expectClose(new Map<string, number>(Object.entries(terms)).get(camel(name))!, value, `${what} ${name}`)
      }
    }
  })
})

test('Figure 4: means over lengths', () => {
  const points = figure4Points()
  expect(points.length).toBe(golden.figure4_mean_over_lengths.length)
  for (const [i, expected] of golden.figure4_mean_over_lengths.entries()) {
    expect(points[i]).toMatchObject({ model: expected.model, P: expected.P, batch: expected.batch })
    expectClose(points[i]!.memoryBytes, expected.memory, 'memory')
    expectClose(points[i]!.latencySeconds, expected.latency, 'latency')
  }
})

describe('headlines', () => {
  const batchesOf = (key: string) => (key.startsWith('mean') ? [1, 2, 4, 8] : [Number(key.split(' ')[1])])
  test.each(Object.entries(golden.headline_1_6B_P8_against_parameter_scaling))('%s', (key, expected) => {
    const found = headline(batchesOf(key))
    for (const quantity of ['memory', 'latency'] as const) {
      expectClose(found[quantity].base, expected[quantity].base, 'base')
      expectClose(found[quantity].parallel, expected[quantity].parallel, 'parallel')
      expectClose(found[quantity].parameterScaling, expected[quantity].parameter_scaling_at_equal_loss, 'parameter scaling')
      expectClose(found[quantity].ratio, expected[quantity].ratio, 'ratio')
    }
  })

  test('what the paper prints, cut off as it does', () => {
    const cut = (x: number, digits: number) => Math.floor(x * 10 ** digits) / 10 ** digits
    expect(cut(headline([1]).memory.ratio, 0)).toBe(22)
    expect(cut(headline([1]).latency.ratio, 0)).toBe(6)
    expect(cut(headline([1, 2, 4, 8]).memory.ratio, 0)).toBe(7)
    expect(cut(headline([1, 2, 4, 8]).latency.ratio, 1)).toBe(1.7)
    expect(headline([8]).latency.ratio).toBeLessThan(1)
  })
})

test('bad workloads are refused by name', () => {
  const { shape } = publishedModel('1.6B')
  const workload = { P: 1, batch: 1, inputTokens: 64, outputTokens: 64 }
  expect(() => referenceCost(shape, { ...workload, P: 0 })).toThrow('P must be a whole number of at least 1, got 0')
  expect(() => referenceCost(shape, { ...workload, batch: 1.5 })).toThrow('batch must be')
  expect(() => referenceCost(shape, { ...workload, inputTokens: 2049 })).toThrow('prompts of up to 2048 tokens, got 2049')
  expect(() => publishedModel('7B')).toThrow("'7B' is not one of the published sizes 0.5B, 0.7B")
})
