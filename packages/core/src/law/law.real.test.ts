/** Fits, likelihoods, predictions and the bootstrap against numpy and scipy, which get the laws in their own words. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import {
  bootstrap,
  compareFits,
  equivalentParameters,
  type Fit,
  fitLaw,
  type LawName,
  laws,
  likelihoodRatio,
  lossAt,
  type Point,
  predictLoss,
  publishedPoints,
  type Setting,
} from './index.ts'

/** What check-law.py prints for a fit. */
interface Judgement {
  readonly objective: number
  /** The lowest objective that scipy's simplex finds. */
  readonly lowest: number
  readonly r2: number
  readonly aic: number
  readonly bic: number
  readonly pValue: number
  readonly loss: number
  readonly equivalentParameters: number
  /** Standard deviation of the predicted loss over its own refits. */
  readonly lossDeviation: number
}

const refits = 300
const target: Setting = { N: 1571472384, P: 8 }

/** A deterministic wave of the size of real residuals: enough for a fit that is not exact. */
const design: Setting[] = [4e8, 1e9, 3e9, 9e9].flatMap((N) =>
  [1, 2, 4, 8].flatMap((P) => [1e10, 6e10, 4e11].map((D) => ({ N, P, D }))),
)
function planted(name: LawName, values: Readonly<Record<string, number>>): Point[] {
  const theta = laws[name].parameters.map((parameter) => values[parameter.name]!)
  return design.map((setting, i) => ({
    ...setting,
    loss: lossAt(laws[name], theta, setting) * (1 + 0.002 * Math.sin(7 * i * i)),
  }))
}
const values = { E: 0.7, A: 2e7, alpha: 0.2, k: 0.4, rho: 0.85, B: 1e9, beta: 0.3, m: 0.3 }
const weighted = publishedPoints('pile').map((point, i) => ({ ...point, weight: 1 + (i % 3) }))

const fits: Fit[] = [
  ...(['log', 'correlation', 'power'] as const).map((name) => fitLaw(laws[name], publishedPoints('stack-v2-python'))),
  fitLaw(laws.log, publishedPoints('pile')),
  fitLaw(laws.log, weighted),
  ...(['joint-log', 'joint-correlation', 'joint-log-data', 'chinchilla'] as const).map((name) =>
    fitLaw(laws[name], planted(name, values)),
  ),
]

describe('against scipy', () => {
  const nested = fits.map((fit) => (fit.law.nested === undefined ? undefined : fitLaw(laws[fit.law.nested], fit.points)))
  const request = fits.map((fit, i) => ({
    law: fit.law.name,
    points: fit.points,
    params: fit.params,
    objective: fit.objective,
    ...(nested[i] === undefined ? {} : { nestedObjective: nested[i].objective }),
    ...(i === 0 ? { question: target, refits } : {}),
  }))
  const script = fileURLToPath(new URL('testing/check-law.py', import.meta.url))
  const { status, stdout, stderr } = spawnSync(pythonEnvironment('law'), [script], {
    input: JSON.stringify({ fits: request }),
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`check-law.py failed: ${stderr}`)
  const judgements = JSON.parse(stdout) as Judgement[]

  it.each(fits.map((fit, i) => [`${fit.law.name} on ${fit.points.length} points (${i})`, i] as const))('%s', (_, i) => {
    const [fit, found] = [fits[i]!, judgements[i]!]
    expect(found.objective / fit.objective).toBeCloseTo(1, 10)
    expect(fit.objective).toBeLessThanOrEqual(found.lowest * (1 + 1e-9))
    expect(found.r2).toBeCloseTo(fit.r2, 12)
    const [{ aic, bic }] = compareFits([fit]) as [ReturnType<typeof compareFits>[number]]
    expect(aic).toBeCloseTo(found.aic, 5)
    expect(bic).toBeCloseTo(found.bic, 5)
    const smaller = nested[i]
    if (smaller !== undefined) expect(likelihoodRatio(fit, smaller).pValue / found.pValue).toBeCloseTo(1, 4)
  })

  it('predictions, the equal N, and the width of the interval by refits of its own', () => {
    const [fit, found] = [fits[0]!, judgements[0]!]
    const thetas = bootstrap(fit, { count: 2000, seed: 0 })
    const { value, interval } = predictLoss(fit, target, thetas)
    expect(value).toBeCloseTo(found.loss, 12)
    expect(equivalentParameters(fit, target).value / found.equivalentParameters).toBeCloseTo(1, 9)
    // A deviation from 300 refits is sure to 4 %, and percentiles are not quite normal: within 20 %.
    const ratio = (interval!.high - interval!.low) / (2 * 1.96 * found.lossDeviation)
    expect(ratio).toBeGreaterThan(0.8)
    expect(ratio).toBeLessThan(1.2)
  })
})
