import { describe, expect, it } from 'vitest'
import { estimatePassAtK, passAtK } from './pass-at-k.ts'

/** Exact: binomials as whole numbers. */
function choose(n: bigint, k: bigint): bigint {
  let value = 1n
  for (let i = 1n; i <= k; i++) value = (value * (n - k + i)) / i
  return k > n ? 0n : value
}
function exact(n: number, c: number, k: number): number {
  const [all, wrong] = [choose(BigInt(n), BigInt(k)), choose(BigInt(n - c), BigInt(k))]
  return Number(((all - wrong) * 10n ** 18n) / all) / 1e18
}

describe('pass@k', () => {
  it('is 1 - C(n - c, k) / C(n, k) for every n up to 30', () => {
    for (let n = 1; n <= 30; n++)
      for (let c = 0; c <= n; c++)
        for (let k = 1; k <= n; k++) expect(passAtK({ samples: n, passed: c }, k)).toBeCloseTo(exact(n, c, k), 12)
  })
  it('stays exact where the binomials overflow', () => {
    for (const [n, c, k] of [
      [2000, 3, 1000],
      [5000, 1, 100],
      [10_000, 9_000, 5_000],
    ] as const)
      expect(passAtK({ samples: n, passed: c }, k)).toBeCloseTo(exact(n, c, k), 11)
  })
  it('has the standard error of a mean over problems', () => {
    const tallies = [0, 1, 2, 4].map((passed) => ({ samples: 4, passed }))
    const { value, standardError } = estimatePassAtK(tallies, 1)
    expect(value).toBeCloseTo(0.4375, 12)
    // Deviations -0.4375, -0.1875, 0.0625, 0.5625: their squares sum to 0.546875.
    expect(standardError).toBeCloseTo(Math.sqrt(0.546875 / 3 / 4), 12)
    expect(estimatePassAtK([{ samples: 2, passed: 1 }], 1).standardError).toBeUndefined()
  })
  it.each([
    [2, 3, 1],
    [2, 1, 3],
    [2, -1, 1],
    [2, 1, 0],
    [2, 0.5, 1],
  ])('refuses n %d, c %d, k %d', (samples, passed, k) => {
    expect(() => passAtK({ samples, passed }, k)).toThrow(/1 <= k <= samples/)
  })
  it('refuses no problems', () => expect(() => estimatePassAtK([], 1)).toThrow('no problems'))
})
