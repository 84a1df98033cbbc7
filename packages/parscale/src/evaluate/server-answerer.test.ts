/** The same answers through a server as from the model in it. */

import { ModelAnswerer } from '@parscale/core/internal/evaluation/tasks'
import type { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadTextModel } from '../load/load.ts'
import { listening } from '../serve/testing/listening.ts'
import { ServerAnswerer } from './server-answerer.ts'
import { evaluateHere } from './testing/evaluate-here.ts'
import { fixtureFolder } from './testing/peer-runs.ts'

let model: TextModel
let server: Awaited<ReturnType<typeof listening>>
beforeAll(async () => {
  model = await loadTextModel()
  server = await listening({ small: model })
})
afterAll(() => server?.close())

const answerer = (p: number, url = `${server.url}/v1`) => new ServerAnswerer({ url, model: 'small', p, env: {} })

describe('a server that is asked', () => {
  it.each(['questions', 'letters', 'blanks', 'endings', 'sums'].flatMap((task) => [1, 4].map((p) => ({ task, p }))))(
    'gives the answers of the model: $task, P = $p',
    async ({ task, p }) => {
      const run = { task: `${fixtureFolder}${task}.yaml`, limit: 6 }
      const ours = await evaluateHere(run, model, new ModelAnswerer(model, { p }))
      const theirs = await evaluateHere(run, model, answerer(p))
      for (const [i, { value, metric }] of theirs.figures.entries()) {
        const { value: expected } = ours.figures[i]!
        expect(Math.abs(value - expected) / Math.max(1, Math.abs(expected)), metric.name).toBeLessThan(1e-4)
      }
      const plain = (samples: typeof ours.samples) =>
        samples.map(({ resps }) =>
          (resps as unknown[][]).map(([first]) => (Array.isArray(first) ? [Number(first[0]).toFixed(3), first[1]] : first)),
        )
      expect(plain(theirs.samples)).toEqual(plain(ours.samples))
    },
  )

  it('is named where it is gone, or cannot', async () => {
    const run = { task: `${fixtureFolder}endings.yaml`, limit: 1 }
    await expect(evaluateHere(run, model, answerer(1, 'http://127.0.0.1:9/v1'))).rejects.toThrow(
      'local_endings, item 0: http://127.0.0.1:9/v1/completions: no answer',
    )
    const pages = { task: `${fixtureFolder}pages.yaml`, limit: 1 }
    await expect(evaluateHere(pages, model, answerer(1))).rejects.toThrow(
      'local_pages, item 0: an empty context cannot be scored',
    )
    await expect(evaluateHere(run, model, answerer(3))).rejects.toThrow('400')
  })
})
