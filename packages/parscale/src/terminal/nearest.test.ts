import { expect, it } from 'vitest'
import { nearestNames } from './nearest.ts'

it('names each near name once, the nearest first', () => {
  expect(nearestNames('sed', ['seed', 'seeds', 'steps', 'seed', 'batch'])).toEqual(['seed'])
  expect(nearestNames('temp', ['top_p', 'temperature'])).toEqual(['temperature'])
  expect(nearestNames('--', ['seed'])).toEqual([])
})
