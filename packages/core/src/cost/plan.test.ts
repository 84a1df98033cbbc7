import { describe, expect, test } from 'vitest'
import { fitLaw } from '../law/fit.ts'
import { laws, lossAt } from '../law/laws.ts'
import { publishedPoints } from '../law/published.ts'
import { deviceNamed } from './devices.ts'
import { countParameters } from './parameters.ts'
import { familyShapes, makePlan, type PlanRequest } from './plan.ts'
import { weightFormatNamed, weightFormats } from './quantisation.ts'
import { publishedModel, publishedModels } from './shapes.ts'
import { trainingCost, trainingFlopsPerToken } from './training.ts'

const law = fitLaw(laws.log, publishedPoints('stack-v2-python'))
const request: PlanRequest = {
  device: deviceNamed('rtx-4090'),
  budget: {},
  shapes: familyShapes(),
  streams: [1, 2, 4, 8],
  formats: weightFormats,
  batch: 1,
  inputTokens: 256,
  outputTokens: 256,
  kvBits: 16,
  trainingTokens: 42e9,
  trainingSequenceLength: 2048,
  loss: (N, P) => lossAt(law.law, law.theta, { N, P }),
}

describe('plan', () => {
  test('with room to spare, the largest model with all streams in full precision', () => {
    const { best, considered, feasible } = makePlan(request)
    expect(best).toMatchObject({
      P: 8,
      format: { name: 'f16' },
      N: countParameters(publishedModel('4.4B').shape, 8).nonEmbedding,
    })
    expect(considered).toBe(14 * 4 * 6)
    expect(feasible).toBe(considered)
  })

  test('against trying everything: nothing feasible has a lower loss, and the front is not beaten', () => {
    const budget = { memoryBytes: 2 * 2 ** 30, secondsPerToken: 0.004 }
    const plan = makePlan({ ...request, budget })
    for (const candidate of plan.pareto) {
      expect(candidate.memoryBytes).toBeLessThanOrEqual(budget.memoryBytes)
      expect(candidate.secondsPerToken).toBeLessThanOrEqual(budget.secondsPerToken)
    }
    // The same question, one size at a time, so that nothing of the search is shared.
    const best = Math.min(
      ...request.shapes.flatMap((shape) => {
        try {
          return makePlan({ ...request, budget, shapes: [shape] }).best.loss
        } catch {
          return []
        }
      }),
    )
    expect(plan.best.loss).toBe(best)
    for (const a of plan.pareto) {
      for (const b of plan.pareto) {
        const beats = a !== b && a.loss <= b.loss && a.memoryBytes <= b.memoryBytes && a.secondsPerToken <= b.secondsPerToken
        expect(beats).toBe(false)
      }
    }
  })

  test('less memory: fewer bits and more streams rather than fewer parameters', () => {
    const { best } = makePlan({ ...request, budget: { memoryBytes: 1.5 * 2 ** 30 } })
    expect(best.P).toBe(8)
    expect(best.format.bits).toBeLessThan(9)
  })

  test('a training budget brings P down', () => {
    const full = makePlan(request).best
    const { best } = makePlan({ ...request, budget: { trainingFlops: full.trainingFlops / 8 } })
    expect(best.trainingFlops).toBeLessThanOrEqual(full.trainingFlops / 8)
    expect(best.loss).toBeGreaterThan(full.loss)
  })

  test('impossible budgets say what would be possible', () => {
    expect(() => makePlan({ ...request, budget: { memoryBytes: 1e6 } })).toThrow(
      'on NVIDIA GeForce RTX 4090: it allows memory 0.001 GB, and the smallest candidate needs memory 0.4',
    )
    expect(() => makePlan({ ...request, budget: { secondsPerToken: 0 } })).toThrow('secondsPerToken must be greater than 0')
    expect(() => weightFormatNamed('q1')).toThrow("weight format 'q1' is not known")
  })

  test('limits that can be met one by one, but not together', () => {
    // A second embedding table takes memory and no time; further layers take both, but less memory than the table.
    const { shape } = publishedModel('0.5B')
    const roomy = { ...shape, tiedEmbeddings: false }
    const slow = { ...shape, numHiddenLayers: 40 }
    const alone = (one: typeof shape) =>
      makePlan({ ...request, shapes: [one], streams: [1], formats: [weightFormatNamed('f16')] }).best
    const budget = { memoryBytes: alone(slow).memoryBytes, secondsPerToken: alone(roomy).secondsPerToken }
    expect(() =>
      makePlan({ ...request, shapes: [roomy, slow], streams: [1], formats: [weightFormatNamed('f16')], budget }),
    ).toThrow('each limit can be met, but not all at once')
  })

  test('without a number of tokens, as many as the FLOPs pay for', () => {
    // A law of data alone: who trains on most tokens wins, which is the smallest model with one stream.
    const flops = 1e21
    const open = { ...request, trainingTokens: undefined, formats: [weightFormatNamed('f16')] }
    const { best, pareto } = makePlan({ ...open, budget: { trainingFlops: flops }, loss: (_N, _P, D) => 1e6 / D })
    expect(best).toMatchObject({ P: 1, shape: publishedModel('0.5B').shape, trainingFlops: flops })
    for (const { shape, P, trainingTokens } of pareto)
      expect(trainingTokens * trainingFlopsPerToken(shape, P, 2048)).toBeCloseTo(flops, -9)
    expect(() => makePlan(open)).toThrow('trainingTokens or budget.trainingFlops must be given')
  })

  test('the family contains the six published shapes', () => {
    for (const { shape } of publishedModels) expect(familyShapes()).toContainEqual(shape)
  })
})

describe('training', () => {
  const { shape } = publishedModel('1.6B')

  test('6 N D for long ago: a short sequence and one stream, embeddings aside', () => {
    const N = countParameters(shape, 1).nonEmbedding
    expect(trainingFlopsPerToken({ ...shape, vocabSize: 1 }, 1, 1) / (6 * N)).toBeCloseTo(1, 2)
  })

  test("the paper's two stages cost a seventh of eight streams throughout", () => {
    const run = { P: 8, firstStageTokens: 1e12, secondStageTokens: 20e9, sequenceLength: 2048, deviceCount: 64, utilisation: 0.4 }
    const { twoStage, singleStage, ratio } = trainingCost(shape, run, deviceNamed('a100-80gb'))
    expect(ratio).toBeGreaterThan(6)
    expect(ratio).toBeLessThan(7)
    expect(singleStage.flops / twoStage.flops).toBe(ratio)
    expect(twoStage.hours).toBeCloseTo(twoStage.flops / (312e12 * 0.4 * 64) / 3600, 6)
    // One stream, no second stage: both ways are the same run.
    expect(trainingCost(shape, { ...run, P: 1 }, deviceNamed('a100-80gb')).ratio).toBe(1)
  })

  test('bad runs are refused by name', () => {
    const run = { P: 8, firstStageTokens: 1, secondStageTokens: 1, sequenceLength: 8, deviceCount: 1, utilisation: 0.4 }
    expect(() => trainingCost(shape, { ...run, utilisation: 0 }, deviceNamed('h100'))).toThrow('utilisation must be')
    expect(() => trainingCost(shape, { ...run, firstStageTokens: -1 }, deviceNamed('h100'))).toThrow('firstStageTokens must be')
    expect(() => trainingCost(shape, { ...run, P: 0 }, deviceNamed('h100'))).toThrow('P must be')
  })
})
