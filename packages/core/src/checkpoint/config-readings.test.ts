/**
 * Rope and window keys, alone and together, in every family: what transformers computes with, or a refusal. Recorded by
 * scripts/fixtures/make-config-fixtures.py.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { isParscaleError } from '../errors.ts'
import { inverseFrequencies, type ModelConfig } from '../model/index.ts'
import { parseModelConfig } from './config.ts'

interface Case {
  readonly family: string
  readonly keys: Readonly<Record<string, unknown>>
  /** transformers refuses the keys. */
  readonly refused?: string
  readonly windows?: readonly (number | null)[]
  /** Into the table of frequencies. */
  readonly frequencies?: number
}

const { families, frequencies, cases } = JSON.parse(
  readFileSync(new URL('../../../../fixtures/configs/readings.json', import.meta.url), 'utf8'),
) as {
  families: Record<string, object>
  frequencies: [inverse: number[], scale: number][]
  cases: Case[]
}

/** Undefined where we refuse. */
function read({ family, keys }: Case): ModelConfig | undefined {
  try {
    return parseModelConfig({ ...families[family], ...keys })
  } catch (error) {
    if (isParscaleError(error) && (error.kind === 'checkpoint' || error.kind === 'unsupported')) return undefined
    throw error
  }
}

describe.each(Object.keys(families))('%s', (family) => {
  const own = cases.filter((each) => each.family === family)

  it('means what transformers takes it to mean, or is refused', () => {
    for (const each of own) {
      const config = read(each)
      if (!config) continue
      const about = JSON.stringify(each.keys)
      expect(each.refused, about).toBeUndefined()
      expect(config.slidingWindows, about).toEqual(each.windows)
      const [inverse, scale] = frequencies[each.frequencies!]!
      expect(scale, about).toBe(1)
      const found = inverseFrequencies(config)
      expect(found.length, about).toBe(inverse.length)
      for (const [i, f] of inverse.entries()) expect(Math.abs(found[i]! - f), about).toBeLessThan(1e-6 * f)
    }
  })

  it('is read wherever the keys are plain', () => {
    // Of each way to have windows or none, and of each rotation, one spelling at least is read.
    const kinds = (which: (each: Case) => unknown) => new Set(own.filter((each) => !each.refused).map(which))
    const readKinds = (which: (each: Case) => unknown) => new Set(own.filter(read).map(which))
    const windows = ({ windows }: Case) => JSON.stringify(windows?.map((window) => (window === 4096 ? null : window)))
    expect(readKinds(windows)).toEqual(kinds(windows))
  })
})

it('reads every rotation that we know in one spelling at least', () => {
  const known = new Set(cases.filter((each) => each.family === 'llama' && read(each)).map((each) => each.frequencies))
  // Of bases 10000 and 500: none, linear, llama3.
  expect(known.size).toBe(6)
})
