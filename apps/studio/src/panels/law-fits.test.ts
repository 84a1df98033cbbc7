import { datasetNames, fitLaw, lawNamed, publishedPoints } from '@parscale/core/law'
import { describe, expect, it } from 'vitest'
import { publishedStarts } from './law-fits.ts'

describe.each(datasetNames)('%s', (dataset) => {
  it.each(['log', 'correlation', 'power'] as const)('the %s law ends where it ends from all starts', (name) => {
    const points = publishedPoints(dataset)
    const [all, near] = [fitLaw(lawNamed(name), points), fitLaw(lawNamed(name), points, [publishedStarts[dataset][name]])]
    expect(Math.abs(near.objective / all.objective - 1)).toBeLessThan(1e-9)
    for (const [i, value] of near.theta.entries()) expect(Math.abs(value / all.theta[i]! - 1)).toBeLessThan(1e-6)
  })
})
