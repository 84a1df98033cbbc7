/** Steps of several workers: the bits of one, whatever they have to share, and the numbers of a step that sums one after the other. */
import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { onnxRuntime } from '../../node/onnx-runtime.ts'
import { createRandom } from '../../random.ts'
import { maxDifference } from '../../testing/fixtures.ts'
import { memoryWorkers } from '../../testing/memory-workers.ts'
import { readTrainingModel } from '../../testing/training.ts'
import { type StepReport, type TokenBatch, type TrainPlan, type TrainState, TrainStep } from '../index.ts'
import { ParallelStep } from './parallel-step.ts'
import { elementsOfPiece, layOut, sharesOf } from './pieces.ts'
import { agree, alone, firstsValue, gatherValues } from './workers.ts'

const runtime = onnxRuntime({ threads: 1 })
const shape = { sequences: 1, tokens: 12 }
const steps = 3

interface Outcome {
  readonly reports: StepReport[]
  readonly state: Required<TrainState>
}

async function model(leaves: number) {
  const { config, model, plan: planOf } = await readTrainingModel('parscale-p2')
  // Some pieces of an embedding, so that owners share one parameter.
  const vocabSize = 9001
  const base = planOf(shape)
  const trainable = base.trainable.map((p) => (p.name === embedding ? { ...p, shape: [vocabSize, config.hiddenSize] } : p))
  const plan: TrainPlan = { ...base, config: { ...config, vocabSize }, trainable, seed: 5, aids: { dropout: 0.1 } }
  const random = createRandom(3)
  const rows = Float32Array.from({ length: vocabSize * config.hiddenSize }, () => 0.02 * random.normal())
  const batches = Array.from({ length: steps }, () =>
    Array.from(
      { length: leaves },
      (): TokenBatch => ({
        ids: Array.from({ length: 13 }, () => random.below(vocabSize)),
        // Passes of unequal weight.
        weights: Array.from({ length: 12 }, () => random.below(3)),
      }),
    ),
  )
  return { plan, parameters: new Map(model).set(embedding, rows), batches }
}

const embedding = 'model.embed_tokens.weight'

const rates = (step: number) => ({ learningRate: 0.01, step: step + 1 })

const copied = ({ parameters, m, v }: Required<TrainState>): Required<TrainState> => {
  const copy = (arrays: TrainState['parameters']) => new Map([...arrays].map(([name, array]) => [name, array.slice()]))
  return { parameters: copy(parameters), m: copy(m), v: copy(v) }
}

const bits = (arrays: TrainState['parameters']) =>
  [...arrays].map(([name, array]) => [name, createHash('sha256').update(array).digest('hex')])
const stateBits = ({ parameters, m, v }: Required<TrainState>) => [parameters, m, v].map(bits)

async function together(size: number, { plan, parameters, batches }: Awaited<ReturnType<typeof model>>): Promise<Outcome[]> {
  return await Promise.all(
    memoryWorkers(size).map(async (workers) => {
      const state = workers.rank === 0 ? { parameters } : undefined
      const step = await ParallelStep.create(runtime, plan, state, batches[0]!.length, workers)
      const reports: StepReport[] = []
      for (const [i, each] of batches.entries()) reports.push(await step.run(each, rates(i)))
      const result = { reports, state: copied(await step.readState()) }
      await step.dispose()
      return result
    }),
  )
}

describe.each([8, 7])('%i passes', (leaves) => {
  it('give the same bits with 1, 2, 3, 4 and 7 workers', async () => {
    const given = await model(leaves)
    const [one] = await together(1, given)
    for (const size of [2, 3, 4, 7]) {
      const all = await together(size, given)
      for (const [rank, { reports, state }] of all.entries()) {
        const what = `worker ${rank} of ${size}`
        expect(reports, what).toEqual(one!.reports)
        expect(bits(state.parameters), what).toEqual(bits(one!.state.parameters))
        if (rank === 0) expect(stateBits(state), what).toEqual(stateBits(one!.state))
      }
    }
  })

  it('are the step that adds one pass after the other, but for rounding', async () => {
    const given = await model(leaves)
    const [{ reports, state }] = (await together(1, given)) as [Outcome]
    const step = await TrainStep.create(runtime, given.plan, { parameters: given.parameters }, leaves)
    for (const [i, batches] of given.batches.entries()) {
      const { loss, gradNorm } = await step.run(batches, rates(i))
      expect(reports[i]!.loss).toBeCloseTo(loss, 5)
      // The engine sums the squares of 288,000 numbers in float32.
      expect(Math.abs(reports[i]!.gradNorm / gradNorm - 1)).toBeLessThan(3e-4)
    }
    const { m } = await step.readState()
    for (const [name, array] of m) expect(maxDifference(state.m.get(name)!, array), name).toBeLessThan(1e-5)
    await step.dispose()
  })
})

it('goes on from a saved state with another number of workers', async () => {
  const given = await model(8)
  const [one] = await together(1, given)
  const [first] = await together(4, { ...given, batches: given.batches.slice(0, 2) })
  const outcomes = await Promise.all(
    memoryWorkers(2).map(async (workers) => {
      const step = await ParallelStep.create(runtime, given.plan, workers.rank === 0 ? first!.state : undefined, 8, workers)
      await step.run(given.batches[2]!, rates(2))
      const state = copied(await step.readState())
      await step.dispose()
      return state
    }),
  )
  expect(stateBits(outcomes[0]!)).toEqual(stateBits(one!.state))
})

it('leaves everything as it was where a step is not accepted, with all workers', async () => {
  const given = await model(4)
  await Promise.all(
    memoryWorkers(2).map(async (workers) => {
      const step = await ParallelStep.create(runtime, given.plan, workers.rank === 0 ? given : undefined, 4, workers)
      await step.run(given.batches[0]!, { ...rates(0), accept: () => false })
      const { parameters, m } = await step.readState()
      expect(bits(parameters)).toEqual(bits(new Map([...parameters.keys()].map((name) => [name, given.parameters.get(name)!]))))
      for (const array of m.values()) expect(array.every((x) => x === 0)).toBe(true)
      await step.dispose()
    }),
  )
})

it('refuses fewer passes than workers', async () => {
  const { plan, parameters } = await model(4)
  await expect(ParallelStep.create(runtime, plan, { parameters }, 1, memoryWorkers(2)[0]!)).rejects.toThrow(
    '2 workers, but 1 passes in a step: each needs one',
  )
})

it('shares pieces evenly, each with one owner', () => {
  const parameter = (name: string, shape: number[]) => ({ name, shape, part: 'backbone' }) as never
  const layout = layOut([parameter('a', [3, 5]), parameter('b', [2 * elementsOfPiece + 1]), parameter('c', [7, elementsOfPiece])])
  expect(layout.pieces.map(({ start, end }) => end - start)).toEqual([
    15,
    elementsOfPiece,
    elementsOfPiece,
    1,
    ...new Array<number>(7).fill(elementsOfPiece),
  ])
  for (const size of [1, 2, 3, 4, 8, 20]) {
    const shares = sharesOf(layout, size)
    expect(shares).toHaveLength(size)
    const owned = shares.flatMap(({ first, end }) => Array.from({ length: end - first }, (_, i) => first + i))
    expect(owned).toEqual([...layout.pieces.keys()])
    const most = Math.max(...shares.map(({ from, to }) => to - from))
    expect(most).toBeLessThanOrEqual(layout.elements / size + elementsOfPiece + 32)
  }
})

it('tells all workers the same', async () => {
  const all = memoryWorkers(3)
  expect(await Promise.all(all.map((workers) => agree(workers, [workers.rank, 5 - workers.rank])))).toEqual([
    [2, 5],
    [2, 5],
    [2, 5],
  ])
  expect(await Promise.all(all.map((workers) => firstsValue(workers, `from ${workers.rank}`)))).toEqual(
    new Array(3).fill('from 0'),
  )
  expect((await Promise.all(all.map((workers) => gatherValues(workers, { rank: workers.rank }))))[1]).toEqual([
    { rank: 0 },
    { rank: 1 },
    { rank: 2 },
  ])
  expect(await agree(alone, [1, 0])).toEqual([1, 0])
})
