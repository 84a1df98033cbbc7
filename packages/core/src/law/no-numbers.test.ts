/** What is no number in the sense of a law is refused by name: no public function makes a result of it. */
import { describe, expect, it } from 'vitest'
import { bootstrap, bootstrapRefits, intervalOf } from './bootstrap.ts'
import { fitLaw, objectiveAt } from './fit.ts'
import { lawNames, laws, lossAt } from './laws.ts'
import type { Point } from './points.ts'
import { equivalentParameters, equivalentStreams, predictLoss } from './predict.ts'
import { publishedPoints } from './published.ts'

const points = publishedPoints('stack-v2-python')
const fit = fitLaw(laws.log, points)
const wrongNumbers: readonly unknown[] = [0, -1, Number.NaN, Infinity, -Infinity, '1', '', null, true, [1], {}, 1n]
const refusal = (name: string) => expect.objectContaining({ kind: 'usage', message: expect.stringContaining(name) })

describe.each(wrongNumbers.map((wrong) => [wrong] as const))('%o', (wrong) => {
  const spoiled = (key: string, at: number): Point[] =>
    points.map((point, i) => (i === at ? ({ ...point, [key]: wrong } as unknown as Point) : point))

  it.each(['loss', 'N', 'P', 'weight', 'D'])('is no %s of a point, wherever it stands', (key) => {
    for (const at of [0, 7, points.length - 1]) {
      expect(() => fitLaw(laws.log, spoiled(key, at))).toThrow(refusal(`point ${at + 1}: ${key}`))
      expect(() => objectiveAt(laws.log, fit.theta, spoiled(key, at))).toThrow(refusal(key))
    }
  })

  it('is no point of a joint law either', () => {
    const joint = lawNames.map((name) => laws[name]).find(({ needs }) => needs.includes('D'))!
    const withTokens = points.map((point, i) => ({ ...point, D: 1e9 * (1 + i) }))
    expect(() => fitLaw(joint, withTokens.with(3, { ...withTokens[3]!, D: wrong as number }))).toThrow(refusal('point 4: D'))
  })

  it.each(['N', 'P', 'D'])('is no %s of a prediction', (key) => {
    const setting = { N: 1e9, P: 2, D: 1e9, [key]: wrong }
    expect(() => predictLoss(fit, setting)).toThrow(refusal(key))
    expect(() => equivalentParameters(fit, setting)).toThrow(refusal(key))
    expect(() => lossAt(laws.log, fit.theta, setting)).toThrow(refusal(key))
    if (key !== 'P') expect(() => equivalentStreams(fit, setting, 2e9)).toThrow(refusal(key))
  })

  it('is no larger model, number of refits or seed', () => {
    expect(() => equivalentStreams(fit, { N: 1e9 }, wrong as number)).toThrow(refusal('N'))
    expect(() => bootstrap(fit, { count: wrong as number, seed: 1 })).toThrow(refusal('count'))
    if (typeof wrong !== 'number' || !Number.isSafeInteger(wrong)) {
      expect(() => bootstrapRefits(fit, wrong as number).next()).toThrow(refusal('seed'))
    }
  })
})

it('a start or parameters of another length, or with NaN, are refused', () => {
  expect(() => lossAt(laws.log, [1, 2], { N: 1e9, P: 1 })).toThrow(refusal('parameters'))
  expect(() => fitLaw(laws.log, points, [[Number.NaN, 1, 1, 1]])).toThrow(refusal('parameters'))
})

it('an interval needs values, and a level between 0 and 1', () => {
  expect(() => intervalOf(1, [])).toThrow(refusal('refit'))
  for (const level of [0, 1, -1, Number.NaN]) expect(() => intervalOf(1, [1, 2], level)).toThrow(refusal('level'))
})
