/**
 * Both extractions of GSM8K as lm_eval 0.4.13 judged them: 200 answers that SmolLM2 wrote (scripts/fixtures/make-gsm8k-answers.ts), and
 * 165 made of right solutions by changing how their last number is written.
 */
import { readFileSync } from 'node:fs'
import { buildTask, taskResult } from '@parscale/core/internal/evaluation/tasks'
import { expect, it } from 'vitest'
import { findTasks } from './task-folder.ts'
import { fixtureFolder } from './testing/peer-runs.ts'

interface Judged {
  readonly answer: string
  readonly text: string
  /** What was extracted, and whether it is right. */
  readonly 'strict-match': readonly [string, number]
  readonly 'flexible-extract': readonly [string, number]
}

const judged = ['gsm8k-answers.jsonl', 'gsm8k-numbers.jsonl'].flatMap((name) =>
  readFileSync(`${fixtureFolder}${name}`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Judged),
)

it(`extracts and judges ${judged.length} answers as lm_eval does`, async () => {
  const { tasks } = await findTasks(['gsm8k'])
  const questions = judged.map(({ answer }) => ({ question: 'not asked again', answer }))
  const task = buildTask({ ...tasks[0]!, numFewshot: 0 }, { questions, examples: [] })
  const { samples } = await taskResult(
    task,
    judged.map(({ text }) => [{ kind: 'generate_until', texts: [text] }]),
  )
  for (const filter of ['strict-match', 'flexible-extract'] as const) {
    const ours = samples.filter((sample) => sample.filter === filter)
    expect(ours.map((sample) => [(sample.filtered_resps as string[])[0], sample.exact_match])).toEqual(
      judged.map((each) => each[filter]),
    )
  }
})
