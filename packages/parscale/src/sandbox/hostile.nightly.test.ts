/** All programs of fixtures/hostile: none passes, none gets out, and the machine is as before. */
import { it as always, expect } from 'vitest'
import { hasBubblewrap } from './testing/judged.ts'
import { runHostile } from './testing/run-hostile.ts'

const it = always.runIf(hasBubblewrap)

it('contains all of them', async () => {
  const { results, connections, changed } = await runHostile()
  expect(results.length).toBeGreaterThanOrEqual(200)
  expect(results.filter(({ judgement }) => ['pass', 'refused'].includes(judgement.verdict))).toEqual([])
  expect(connections).toBe(0)
  expect(changed).toEqual([])
})
