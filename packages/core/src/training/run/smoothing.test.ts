/** The smoothing of each step, where it changes over the run. */
import { expect, it } from 'vitest'
import { recipes } from './recipes.ts'
import { smoothingAt, stageStreams } from './run-config.ts'

const config = (recipe: 'pretrain' | 'two-stage', finalSmoothing: number | null) => {
  const made = recipes[recipe]({ data: ['text'], steps: 5, secondSteps: 3, p: 4 })
  return { ...made, streams: { ...made.streams, smoothing: 0.5, finalSmoothing } }
}
const all = (of: ReturnType<typeof config>, steps: number) => Array.from({ length: steps }, (_, step) => smoothingAt(of, step))

it('goes straight from the first step to the last', () => {
  expect(all(config('pretrain', 0.1), 5).map((e) => e.toFixed(6))).toEqual([
    '0.500000',
    '0.400000',
    '0.300000',
    '0.200000',
    '0.100000',
  ])
})

it('begins with the streams, where they are switched on later', () => {
  expect(all(config('two-stage', 0), 8)).toEqual([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0])
})

it('stays without an end', () => {
  expect(all(config('pretrain', null), 5)).toEqual(new Array(5).fill(0.5))
})

it('is in the end the one of the model', () => {
  const of = config('pretrain', 0.05)
  expect(stageStreams(of, of.stages[0]!).attnSmooth).toBe(0.05)
})
