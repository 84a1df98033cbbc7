/** A real process, killed while it evaluates: no answer is lost, none is there twice, and the results are those of a run in one go. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { afterAll, expect, it } from 'vitest'
import { randomFrom } from '../../../core/src/testing/small-random.ts'
import { answersIn, runUntil } from './testing/killed-runs.ts'

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
