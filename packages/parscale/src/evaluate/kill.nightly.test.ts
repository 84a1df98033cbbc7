/** A real process, killed while it evaluates: no answer is lost, none is there twice, and the results are those of a run in one go. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, expect, it } from 'vitest'
import { randomFrom } from '../../../core/src/testing/small-random.ts'
import { hasBubblewrap } from '../sandbox/testing/judged.ts'
import { judges } from '../sandbox/testing/run-hostile.ts'
import { answersIn, runFor, runUntil } from './testing/killed-runs.ts'

const folder = mkdtempSync(join(tmpdir(), 'parscale-eval-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const limit = 4
/** Two tasks at two P. */
const items = 2 * 2 * limit
/** PARSCALE_KILLS=200 for an evening. */
const kills = Number(process.env.PARSCALE_KILLS ?? 3)

const filesOf = (out: string) =>
  ['p1/results.json', 'p2/results.json', 'p1/samples_local_sums.jsonl', 'comparisons.json', 'table.md'].map((file) =>
    readFileSync(join(out, file), 'utf8'),
  )

it(
  `goes on after kill -9 and Ctrl-C (${kills} of them)`,
  async () => {
    const whole = join(folder, 'whole')
    expect(await runUntil(whole, limit, Infinity, 'SIGKILL')).toBe(0)
    const random = randomFrom(19)
    for (let killed = 0, round = 0; killed < kills; round++) {
      const out = join(folder, `killed-${round}`)
      let seen = 0
      for (;;) {
        const more = 1 + random.below(6)
        const code = await runUntil(out, limit, more, killed % 3 === 2 ? 'SIGINT' : 'SIGKILL')
        const answers = answersIn(out)
        expect(answers.length).toBeGreaterThanOrEqual(seen)
        seen = answers.length
        expect(new Set(answers.map(({ p, task, doc_id }) => `${p} ${task} ${doc_id}`)).size).toBe(answers.length)
        if (code === 0) break
        killed++
      }
      expect(seen).toBe(items)
      expect(filesOf(out)).toEqual(filesOf(whole))
      rmSync(out, { recursive: true })
    }
  },
  60_000 + kills * 60_000,
)

/** Each program takes a while, so that there is something to kill. */
const problems = Array.from({ length: 8 }, (_, i) => ({
  task_id: `T/${i}`,
  prompt: `def f${i}(x):\n    """Twice x."""\n`,
  entry_point: `f${i}`,
  canonical_solution: '    return 2 * x\n',
  test: 'import time\ndef check(c):\n    time.sleep(0.2)\n    assert c(3) == 6\n',
}))

it.runIf(hasBubblewrap)(
  `goes on while it judges programs (${kills} of them)`,
  async () => {
    const data = join(folder, 'problems.jsonl')
    writeFileSync(data, problems.map((problem) => `${JSON.stringify(problem)}\n`).join(''))
    const args = (out: string) => [
      ...[
        'eval',
        '--tasks',
        'humaneval',
        '--data',
        `humaneval=${data}`,
        '--p',
        '1,2',
        '--num-samples',
        '2',
        '--out',
        out,
        '--resume',
      ],
      ...['--gen-kwargs', 'max_gen_toks=16,temperature=0.8', '--allow-code'],
    ]
    const whole = join(folder, 'judged')
    const started = performance.now()
    expect(await runFor(args(whole), 600_000, 'SIGKILL')).toBe(0)
    const milliseconds = performance.now() - started
    const kept = (out: string) =>
      [1, 2].flatMap((p) =>
        ['', '_results.jsonl'].map((end) => readFileSync(join(out, `p${p}`, `programs_humaneval.jsonl${end}`), 'utf8')),
      )
    expect(kept(whole).map((text) => text.trimEnd().split('\n').length)).toEqual([16, 16, 16, 16])
    const random = randomFrom(20)
    for (let killed = 0, round = 0; killed < kills; round++) {
      const out = join(folder, `judging-${round}`)
      for (;;) {
        const code = await runFor(args(out), random.below(milliseconds), killed % 3 === 2 ? 'SIGINT' : 'SIGKILL')
        await expect.poll(() => judges(), { timeout: 5000 }).toEqual([]) // no program goes on
        if (code === 0) break
        killed++
        if (killed % 8 === 7) expect(await runFor(args(out), 600_000, 'SIGKILL')).toBe(0)
      }
      expect(kept(out)).toEqual(kept(whole))
      rmSync(out, { recursive: true })
    }
  },
  120_000 + kills * 60_000,
)
