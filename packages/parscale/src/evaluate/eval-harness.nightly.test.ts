/**
 * lm_eval 0.4.13 with transformers on the same weights: in double precision: every prompt, log-likelihood, text, prediction and figure. Its environment takes
 * several gigabytes. PARSCALE_GSM8K names a file with GSM8K's test set, for both extractions on its first problems.
 */
import { existsSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import type { TextModel } from '@parscale/core/internal/generation'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { fetchSmolLM2 } from '../../../../scripts/fetch-smollm2.mjs'
import { loadTextModel } from '../load/load.ts'
import { shippedModel } from '../package-files.ts'
import { parscale } from '../testing/cli.ts'
import { expectEqual } from './testing/compare-with-peer.ts'
import { evaluateHere } from './testing/evaluate-here.ts'
import { askPeer, type PeerAnswer } from './testing/peer.ts'
import { chatRuns, localRuns, type PeerRun } from './testing/peer-runs.ts'

/** SmolLM2's weights as floats, for both. */
const smollm2 = fileURLToPath(new URL('../../../../.cache/smollm2-f32', import.meta.url))

const models = [
  { name: 'SmolLM2', folder: smollm2, runs: [...localRuns(), ...chatRuns()] },
  { name: 'the shipped model, P = 1', folder: shippedModel, runs: localRuns() },
]

beforeAll(async () => {
  if (existsSync(`${smollm2}/config.json`)) return
  const { code, stderr } = await parscale(['convert', await fetchSmolLM2(), smollm2])
  if (code !== 0) throw new Error(stderr)
})

const titleOf = (run: PeerRun) => `${run.task.split('/').at(-1)} ${JSON.stringify({ ...run, task: undefined })}`

describe.each(models)('$name', ({ folder, runs }) => {
  let model: TextModel
  let answers: PeerAnswer[]
  beforeAll(async () => {
    // In double precision: in single, its own sums over a page are up to 3e-4 from that.
    answers = await askPeer(runs.map((run) => ({ ...run, model: folder, dtype: 'float64' })))
    model = await loadTextModel(folder)
  })
  afterAll(() => model?.dispose())

  it.each(runs.map((run, i) => ({ title: titleOf(run), run, i })))('$title', async ({ run, i }) => {
    expectEqual(await evaluateHere(run, model), answers[i]!)
  })
})

const gsm8k = process.env.PARSCALE_GSM8K
const problems = Number(process.env.PARSCALE_GSM8K_ITEMS ?? 200)

describe.runIf(gsm8k)('GSM8K', () => {
  it(`both extractions on ${problems} problems`, async () => {
    const { readFileSync } = await import('node:fs')
    const docs = readFileSync(gsm8k!, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    const run: PeerRun = { task: 'gsm8k', docs: { train: docs.slice(-200), test: docs }, limit: problems }
    const [theirs] = await askPeer([{ ...run, model: smollm2 }])
    const model = await loadTextModel(smollm2)
    const ours = await evaluateHere(run, model).finally(() => model.dispose())
    expectEqual(ours, theirs!)
    expect(ours.figures).toHaveLength(2)
  })
})
