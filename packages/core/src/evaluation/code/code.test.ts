import { describe, expect, it } from 'vitest'
import { codeBenchmark, codeRequest } from './benchmarks.ts'
import { cutAtStop, extractCode } from './extract.ts'
import { parseProblem } from './problems.ts'
import { parseSample, programOf } from './samples.ts'

const fence = '```'
const code = 'def f(x):\n    return x\n'

describe('the code in an answer', () => {
  it.each([
    ['a block', `Sure:\n${fence}python\n${code}${fence}\nThat is it.`],
    ['a block without a language', `${fence}\n${code}${fence}`],
    ['a block that never ends', `Sure:\n${fence}python\n${code}`],
    ['tildes', `~~~py\n${code}~~~\n`],
    ['four ticks', `${fence}\`python\n${code}${fence}\`\n`],
    ['Windows lines', `${fence}python\r\n${code.replaceAll('\n', '\r\n')}${fence}\r\n`],
    [
      'the block of the function',
      `${fence}python\nf(1) # an example that is much longer than the function is\n${fence}\n${fence}python\n${code}${fence}`,
    ],
    [
      'the block of Python',
      `${fence}bash\npip install something-with-a-long-name-and-more\n${fence}\n${fence}python\n${code}${fence}`,
    ],
    ['no block', code],
  ])('%s', (_, answer) => expect(extractCode(answer, { entryPoint: 'f' })).toBe(code))

  it('ends before the first stop sequence', () => {
    const { stop } = codeBenchmark('humaneval')
    expect(cutAtStop('    return x\n\ndef g():\n    pass\nif 1:', stop)).toBe('    return x\n')
    expect(cutAtStop('    return x', stop)).toBe('    return x')
  })
})

describe('problems and samples', () => {
  const humanEval = {
    task_id: 'HumanEval/0',
    prompt: 'def f(x):\n',
    entry_point: 'f',
    test: 'def check(c): pass',
    canonical_solution: '    return x',
  }
  const mbpp = {
    task_id: 11,
    text: 'Twice x.',
    code: 'def f(x): return 2 * x',
    test_list: ['assert f(1) == 2'],
    test_setup_code: 'import math',
  }

  it('HumanEval: a completion continues the prompt, a solution stands alone', () => {
    const problem = parseProblem(JSON.stringify(humanEval), 'file', 1)
    const sample = (fields: object) => parseSample(JSON.stringify({ task_id: 'HumanEval/0', ...fields }), 'file', 1)
    expect(programOf(problem, sample({ completion: '    return x' }))).toEqual({
      program: 'def f(x):\n    return x',
      prelude: 'def f(x):\n',
      test: 'def check(c): pass',
      entryPoint: 'f',
    })
    expect(programOf(problem, sample({ solution: 'f = abs' })).program).toBe('f = abs')
  })
  it('MBPP: checks are statements behind their setup', () => {
    const problem = parseProblem(JSON.stringify(mbpp), 'file', 1)
    expect(problem).toMatchObject({ taskId: '11', continues: false, test: 'import math\nassert f(1) == 2', canonical: mbpp.code })
    expect(programOf(problem, parseSample('{"task_id": 11, "completion": "f = abs"}', 'file', 1)).program).toBe('f = abs')
    expect(codeBenchmark('mbpp').prompt(problem)).toContain('assert f(1) == 2')
    expect(codeRequest(codeBenchmark('mbpp'), problem)).toContain('Twice x.')
  })
  it.each([
    ['no JSON', 'file, line 3'],
    ['{"task_id": "a"}', 'file, line 3: "prompt"'],
    ['{"task_id": "a", "test_list": []}', 'file, line 3: "test_list"'],
    ['{"task_id": "a", "prompt": "", "base_input": []}', 'evalplus'],
  ])('refuses the problem %s', (line, message) => expect(() => parseProblem(line, 'file', 3)).toThrow(message))
  it.each([
    ['[]', 'is no JSON object'],
    ['{"completion": ""}', 'has no "task_id"'],
    ['{"task_id": "a"}', 'has neither "completion" nor "solution"'],
    ['{"task_id": "a", "completion": 1}', 'has neither "completion" nor "solution"'],
  ])('refuses the sample %s', (line, message) => expect(() => parseSample(line, 'file', 3)).toThrow(`file, line 3: ${message}`))
  it('names the benchmarks that there are', () =>
    expect(() => codeBenchmark('human_eval')).toThrow('humaneval, humaneval_plus, mbpp'))
})
