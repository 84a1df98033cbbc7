/** Prompts, settings and programs of a run beside the peer's. */
import { type Answer, taskMetrics, taskPrograms } from '@parscale/core/internal/evaluation/tasks'
import { expect } from 'vitest'
import type { CodeRun } from './code-runs.ts'
import { buildHere } from './evaluate-here.ts'
import type { PeerAnswer } from './peer.ts'

/** By lm_eval's names; where it says nothing of a setting, its own default. */
interface PeerSettings {
  readonly until: readonly string[]
  readonly max_gen_toks?: number
  readonly do_sample?: boolean
  readonly temperature?: number
  readonly top_p?: number
}

export async function expectSamePrograms({ texts, ...run }: CodeRun, { samples, results }: PeerAnswer): Promise<void> {
  const task = await buildHere(run)
  const given = texts.map((each): Answer[] => [
    { kind: 'generate_until', texts: [each].flat().length === 1 ? [each].flat() : [...each] },
  ])
  const programs = taskPrograms(task, given)
  expect(task.items.length).toBe(samples!.length)
  for (const { id, requests, target } of task.items) {
    const theirs = samples!.find(({ doc_id }) => doc_id === id)!
    const [request] = requests
    if (request?.kind !== 'generate_until') throw new Error(`${run.task}: expected a text to be asked for`)
    const [context, settings] = theirs.arguments[0] as readonly [string, PeerSettings]
    expect(request.context).toBe(context)
    expect(request.settings).toEqual({
      until: settings.until,
      maxTokens: settings.max_gen_toks ?? 256,
      temperature: settings.do_sample ? settings.temperature : 0,
      topP: settings.top_p,
      topK: undefined,
    })
    expect(target).toBe(theirs.target)
    expect(programs[id]).toEqual([theirs.filtered_resps].flat(2))
  }
  // Nothing is judged here; the figures have the same names.
  const filter = samples![0]!.filter
  const figures = Object.keys(results!).filter((key) => key.endsWith(`,${filter}`) && !key.includes('_stderr'))
  expect(taskMetrics(task.config).map(({ name }) => `${name},${filter}`)).toEqual(figures)
}
