/**
 * Tasks that write programs: what lm_eval was recorded to ask and to make of answers (scripts/fixtures/make-evaluation-code-fixtures.ts),
 * and that right programs, read back from an evaluation that was ended, pass.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { gzipSync } from 'node:zlib'
import { parseSample } from '@parscale/core/internal/evaluation'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hasBubblewrap } from '../sandbox/testing/judged.ts'
import { runHere } from '../testing/run-here.ts'
import { codeRuns } from './testing/code-runs.ts'
import { expectSamePrograms } from './testing/expect-programs.ts'
import type { PeerAnswer } from './testing/peer.ts'
import { fixtureFolder } from './testing/peer-runs.ts'

const recorded = JSON.parse(readFileSync(`${fixtureFolder}lm-eval-code.json`, 'utf8')) as (PeerAnswer & { task: string })[]

describe('tasks that write programs', () => {
  it.each(codeRuns().map((run, i) => ({ run, i, title: `${run.task}, ${run.num_fewshot ?? 'its own'} examples` })))(
    'ask what lm_eval asks and make its programs: $title',
    async ({ run, i }) => {
      expect(recorded[i]!.task).toBe(run.task)
      await expectSamePrograms(run, recorded[i]!)
    },
  )
})

const problems = [
  {
    task_id: 'T/0',
    prompt: 'def f(x):\n    """Twice x."""\n',
    entry_point: 'f',
    canonical_solution: '    return 2 * x\n',
    test: 'def check(c):\n    assert c(3) == 6\n',
  },
  {
    task_id: 'T/1',
    prompt: 'def g(x):\n    """x and one."""\n',
    entry_point: 'g',
    canonical_solution: '    return x + 1\n',
    test: 'def check(c):\n    assert c(3) == 4\n',
  },
]
const jsonLines = (values: readonly unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')
const linesIn = (path: string) =>
  readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

let folder: string
let data: string
let out: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-programs-'))
  data = join(folder, 'two.jsonl.gz')
  out = join(folder, 'out')
  writeFileSync(data, gzipSync(jsonLines(problems)))
})
afterEach(() => rmSync(folder, { recursive: true }))

const evaluate = (...words: string[]) =>
  runHere(['eval', '--tasks', 'humaneval', '--data', `humaneval=${data}`, '--gen-kwargs', 'max_gen_toks=24', ...words], {})

describe('eval of tasks that write programs', () => {
  it('keeps them as samples, and says how to judge them', async () => {
    const { code, stdout, stderr } = await evaluate('--p', '1,2', '--out', out, '--log-samples')
    expect(code).toBe(0)
    expect(stdout).toMatch(/\|humaneval\| +1\| +1\|create_test\| +0\|pass@1\|↑ +\|not judged\|/)
    expect(stderr).toContain(
      `humaneval, P = 2: not judged. This runs what the model wrote, in a sandbox:\n  parscale judge ${out}/p2/programs_humaneval.jsonl --problems ${out}/problems_humaneval.jsonl --allow-code\n`,
    )
    expect(linesIn(join(out, 'problems_humaneval.jsonl'))).toEqual(problems)
    const answers = linesIn(join(out, 'answers.jsonl')).slice(1)
    for (const p of [1, 2]) {
      const samples = readFileSync(join(out, `p${p}`, 'programs_humaneval.jsonl'), 'utf8')
        .trim()
        .split('\n')
      const written = answers.filter((line) => line.p === p).toSorted((a, b) => a.doc_id - b.doc_id)
      expect(samples.map((line, i) => parseSample(line, 'samples', i + 1).fields)).toEqual(
        written.map(({ answers: [{ texts }] }, i) => ({ task_id: `T/${i}`, completion: texts[0] })),
      )
      const logged = linesIn(join(out, `p${p}`, 'samples_humaneval.jsonl'))
      expect(logged.map(({ filtered_resps: [[program]] }) => program)).toEqual(
        written.map(({ answers: [{ texts }] }, i) => problems[i]!.prompt + texts[0]),
      )
    }
  })

  it.runIf(hasBubblewrap)('judges them with --allow-code, also without --out', async () => {
    const { code, stdout, stderr } = await evaluate('--p', '1,2', '--allow-code')
    expect(code).toBe(0)
    expect(stdout).toMatch(/\|humaneval\| +1\| +1\|create_test\| +0\|pass@1\|↑ +\|0\.0000\|± +\|0\.0000\|0\.0000 to 0\.6576\|/)
    expect(stdout).toMatch(/\|humaneval\|create_test\|pass@1\|1 -> 2\|.*\|McNemar, exact\|0 : 0 +\|/)
    expect(stderr).toMatch(/^humaneval, P = 1: 2 (fail|error)$/m)
  })

  it.runIf(hasBubblewrap)('goes on with answers and verdicts that are there', async () => {
    const flags = ['--p', '1', '--out', out, '--num-samples', '2', '--gen-kwargs', 'max_gen_toks=24,temperature=0.8']
    expect((await evaluate(...flags)).code).toBe(0)
    // As a model that knows: one of two programs is right, then both.
    const path = join(out, 'answers.jsonl')
    const [head, ...lines] = linesIn(path)
    for (const line of lines) {
      const right = problems[line.doc_id]!.canonical_solution
      line.answers[0].texts = line.doc_id === 0 ? [right, '    return x\n'] : [right, right]
    }
    writeFileSync(path, jsonLines([head, ...lines]))
    const { code, stdout, stderr } = await evaluate(...flags, '--resume', '--allow-code', '--json')
    expect(stderr).toBe('humaneval, P = 1: 3 pass, 1 fail\n')
    expect(code).toBe(0)
    const [run] = JSON.parse(stdout).runs
    expect(run.results.humaneval['pass@1,create_test']).toBe(0.75)
    expect(run.results.humaneval['pass@1_stderr,create_test']).toBeCloseTo(0.25, 12)

    const results = join(out, 'p1', 'programs_humaneval.jsonl_results.jsonl')
    const judged = readFileSync(results, 'utf8')
    expect(linesIn(results).map(({ verdict }) => verdict)).toEqual(['pass', 'fail', 'pass', 'pass'])
    // As kill -9 leaves it: the rest is judged, what is there is believed.
    const changed = judged.replace(
      '"result":"passed","passed":true,"verdict":"pass"',
      '"result":"timed out","passed":false,"verdict":"time"',
    )
    writeFileSync(results, changed.slice(0, changed.indexOf('\n') + 20))
    const again = await evaluate(...flags, '--resume', '--allow-code')
    expect(again.stderr).toBe('humaneval, P = 1: 1 time, 1 fail, 2 pass\n')
    expect(readFileSync(results, 'utf8')).toBe(changed)
    // parscale judge goes on with the same file.
    writeFileSync(results, judged.slice(0, 30))
    const samples = join(out, 'p1', 'programs_humaneval.jsonl')
    const words = [samples, '--problems', join(out, 'problems_humaneval.jsonl'), '--allow-code', '--resume']
    expect((await runHere(['judge', ...words], {})).stdout).toMatch(/pass@1 +75\.00% +25\.00%/)
    expect(readFileSync(results, 'utf8')).toBe(judged)

    const other = await evaluate('--p', '1', '--out', out, '--resume', '--gen-kwargs', 'max_gen_toks=24,temperature=0.8')
    expect(other.stderr).toContain('holds 2 texts of it, now there are to be 1; give the same --num-samples')
  })

  it('writes MBPP as evalplus names it', async () => {
    const file = join(folder, 'mbpp.jsonl')
    writeFileSync(file, jsonLines([{ task_id: 11, text: 'Twice x.', test_list: ['assert g(3) == 6'] }]))
    const words = [
      '--tasks',
      'mbpp',
      '--data',
      `mbpp=${file}`,
      '--num-fewshot',
      '0',
      '--gen-kwargs',
      'max_gen_toks=4',
      '--p',
      '1',
    ]
    expect((await runHere(['eval', ...words, '--out', out], {})).code).toBe(0)
    expect(linesIn(join(out, 'p1', 'programs_mbpp.jsonl'))).toEqual([{ task_id: 'Mbpp/11', solution: expect.any(String) }])
  })

  it.each<[string, readonly string[], string]>([
    ['programs that nothing keeps', [], 'humaneval: the answers are programs, which are run and judged with --allow-code only'],
    [
      'several of what is greedy',
      ['--out', 'OUT', '--num-samples', '2'],
      'humaneval is greedy, so that all programs of a problem',
    ],
    [
      'a setting that there is not',
      ['--out', 'OUT', '--gen-kwargs', 'temprature=1'],
      '--gen-kwargs: unknown field temprature; there are',
    ],
    ['a setting of another kind', ['--out', 'OUT', '--gen-kwargs', 'temperature=hot'], '--gen-kwargs: temperature: '],
    ['what is no setting', ['--out', 'OUT', '--gen-kwargs', 'hot'], 'KEY=VALUE'],
    ['to judge and not to judge', ['--out', 'OUT', '--predict-only', '--allow-code'], '--predict-only judges nothing'],
    ['an interpreter without leave', ['--out', 'OUT', '--python', 'python3'], '--python runs programs, which needs --allow-code'],
  ])('refuses %s', async (_, flags, message) => {
    const { code, stdout, stderr } = await evaluate(...flags.map((flag) => (flag === 'OUT' ? out : flag)))
    expect(stderr).toContain(message)
    expect(code).toBe(2)
    expect(stdout).toBe('')
    expect(existsSync(out)).toBe(false)
  })

  it.each([
    ['--allow-code', '--allow-code runs programs that a task has the model write, and none of local_questions does'],
    ['--num-samples=2', '--num-samples is of tasks that write programs'],
    ['--gen-kwargs=temperature=1', '--gen-kwargs is of tasks that write texts'],
  ])('refuses %s without a task for it', async (flag, message) => {
    const { code, stderr } = await runHere(['eval', '--tasks', `${fixtureFolder}questions.yaml`, flag], {})
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })

  it.each<[string, Record<string, unknown>, string]>([
    ['no checks', { test: undefined }, 'humaneval, item 1: "test" is no field of a problem'],
    ['no name', { task_id: undefined }, 'humaneval, item 1: "task_id" is no field of a problem'],
    ['the name of another', { task_id: 'T/0' }, 'humaneval, item 1: task_id T/0 is that of item 0, too'],
    ["evalplus' form", { test: undefined, base_input: [[3]] }, "humaneval, item 1: is in evalplus' own form"],
  ])('refuses a problem with %s', async (_, fields, message) => {
    writeFileSync(data, gzipSync(jsonLines([problems[0], { ...problems[1], ...fields }])))
    const { code, stderr } = await evaluate('--out', out)
    expect(stderr).toContain(message)
    expect(code).not.toBe(0)
    expect(existsSync(out)).toBe(false)
  })

  it.runIf(hasBubblewrap)('refuses checks that the interpreter cannot run', async () => {
    writeFileSync(data, gzipSync(jsonLines([{ ...problems[0], test: `import math, nowhere.else\n${problems[0]!.test}` }])))
    const { code, stderr } = await evaluate('--allow-code', '--out', out)
    expect(stderr).toMatch(/the checks of T\/0 import nowhere, which \/\S+ does not have; name an interpreter .* --python/)
    expect(code).toBe(2)
    expect(existsSync(out)).toBe(false)
  })

  it.runIf(existsSync('/usr/bin/python3'))('says where there is no sandbox, before the model is loaded', async () => {
    const path = process.env.PATH
    process.env.PATH = folder
    try {
      const { code, stderr } = await evaluate('--allow-code', '--out', out)
      expect(stderr).toMatch(/does not hold here: there is no bwrap.*without --allow-code programs are written into --out/s)
      expect(code).toBe(3)
    } finally {
      process.env.PATH = path
    }
    expect(existsSync(out)).toBe(false)
  })

  it('refuses what is no gzip file', async () => {
    writeFileSync(data, 'plain')
    expect((await evaluate('--out', out)).stderr).toContain(`${data}: is no whole gzip file`)
  })
})
