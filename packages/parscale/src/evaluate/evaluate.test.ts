/** Tasks against what lm_eval was recorded to ask and to find (scripts/fixtures/make-evaluation-peer-fixtures.ts). */
import { readFileSync } from 'node:fs'
import type { Request } from '@parscale/core/internal/evaluation/tasks'
import type { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadTextModel } from '../load/load.ts'
import { sampleLines } from './report.ts'
import { expectEqual } from './testing/compare-with-peer.ts'
import { buildHere, evaluateHere } from './testing/evaluate-here.ts'
import type { PeerAnswer } from './testing/peer.ts'
import { fixtureFolder, type PeerRun } from './testing/peer-runs.ts'

const recorded = JSON.parse(readFileSync(`${fixtureFolder}lm-eval.json`, 'utf8')) as {
  shipped: (PeerRun & PeerAnswer)[]
  local: (PeerRun & PeerAnswer)[]
}

const argumentsOf = (request: Request): readonly unknown[] => {
  if (request.kind === 'loglikelihood') return [request.context, request.continuation]
  return request.kind === 'generate_until' ? [request.context] : [request.text]
}

describe('tasks that ship', () => {
  it.each(recorded.shipped)('ask what lm_eval asks: $task, $num_fewshot examples', async ({ requests, ...run }) => {
    const { items } = await buildHere(run)
    const asked = items.flatMap(({ id, requests }) => requests.map((request) => [id, argumentsOf(request)]))
    // What ends a text is a mapping of lm_eval's own.
    expect(asked).toEqual(requests!.map(([id, args]) => [id, args.filter((each) => typeof each === 'string')]))
  })
})

describe('answers of the shipped model, P = 1', () => {
  let model: TextModel
  beforeAll(async () => {
    model = await loadTextModel()
  })
  afterAll(() => model?.dispose())

  it.each(recorded.local)('$task, $num_fewshot examples, seed $seed', async ({ results, samples, ...run }) => {
    const ours = await evaluateHere({ ...run, task: `${fixtureFolder}${run.task}` }, model)
    expectEqual(ours, { results: results!, samples: samples! })
    const hashes = sampleLines(ours.samples)
      .trim()
      .split('\n')
      .map((line) => {
        const { doc_hash, prompt_hash, target_hash } = JSON.parse(line) as Record<string, string>
        return { doc_hash, prompt_hash, target_hash }
      })
    const theirs = samples!.map(({ doc_hash, prompt_hash, target_hash }) => ({ doc_hash, prompt_hash, target_hash }))
    expect(new Set(hashes.map((each) => JSON.stringify(each)))).toEqual(new Set(theirs.map((each) => JSON.stringify(each))))
  })
})
