/** All canonical solutions of HumanEval pass. Wrong ones, beside its own judge: the nightly test. */
import { it as always, expect } from 'vitest'
import { limitsOf } from './limits.ts'
import { humanEval } from './testing/human-eval.ts'
import { hasBubblewrap, judged } from './testing/judged.ts'

const it = always.runIf(hasBubblewrap)

it('passes 164 canonical solutions', async () => {
  const problems = await humanEval()
  expect(problems.length).toBe(164)
  const started = performance.now()
  const results = await judged(
    problems,
    problems.map(({ taskId, canonical }) => ({ task_id: taskId, completion: canonical! })),
    // So much time that a slow machine fails none.
    { limits: limitsOf(60) },
  )
  console.info(`164 solutions judged in ${((performance.now() - started) / 1000).toFixed(1)} s`)
  expect(results.filter(({ judgement }) => judgement.verdict !== 'pass')).toEqual([])
})
