/** All 164 problems of HumanEval beside lm_eval 0.4.13's own task code: prompts, settings, and the programs made of answers. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import type { Document } from '@parscale/core/internal/evaluation/tasks'
import { beforeAll, expect, it } from 'vitest'
import { humanEvalPath } from '../sandbox/testing/human-eval.ts'
import { answersAround, type CodeRun } from './testing/code-runs.ts'
import { expectSamePrograms } from './testing/expect-programs.ts'
import { askPeer, type PeerAnswer } from './testing/peer.ts'

const tasks = ['humaneval', 'humaneval_plus', 'humaneval_instruct']
let runs: CodeRun[]
let answers: PeerAnswer[]
beforeAll(async () => {
  const docs = gunzipSync(readFileSync(await humanEvalPath()))
    .toString('utf8')
    .trim()
    .split('\n')
    .map((line): Document => JSON.parse(line))
  const texts = docs.map(({ canonical_solution: code }, i) => {
    const around = answersAround(code as string)
    return around[i % around.length]!
  })
  runs = tasks.map((task) => ({ task, docs: { test: docs }, texts }))
  answers = await askPeer(runs)
}, 1_200_000)

it.each(tasks.map((task, i) => ({ task, i })))('$task asks and makes the same', async ({ i }) => {
  expect(answers[i]!.samples).toHaveLength(164)
  await expectSamePrograms(runs[i]!, answers[i]!)
})
