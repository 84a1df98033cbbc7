/** Samples in all forms that evalplus reads and writes, by its own loader and writer (PyPI evalplus 0.3.1, evalplus/data/utils.py). */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { parseProblem, problemOf, programOf } from '@parscale/core/internal/evaluation'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { pythonEnvironment } from '../../../../scripts/python-env.mjs'
import { openResults } from './results-file.ts'
import { readSamples } from './sample-files.ts'

// The module alone: its package imports all of `datasets`.
const peer = `
import importlib.util, json, os, sys
folder = importlib.util.find_spec('evalplus').submodule_search_locations[0]
spec = importlib.util.spec_from_file_location('utils', os.path.join(folder, 'data', 'utils.py'))
utils = importlib.util.module_from_spec(spec)
spec.loader.exec_module(utils)
what, path = sys.argv[1:3]
if what == 'read':
    print(json.dumps(list(utils.load_solutions(path))))
elif what == 'folder':
    utils.write_directory(path, json.load(sys.stdin))
else:
    utils.write_jsonl(path, json.load(sys.stdin))
`

interface PeerSample {
  readonly task_id: string
  readonly completion?: string
  readonly solution?: string
}

async function ask(what: 'read' | 'folder' | 'lines', path: string, input: unknown = null): Promise<string> {
  const asked = promisify(execFile)(pythonEnvironment('evalplus'), ['-c', peer, what, path], { maxBuffer: 2 ** 26 })
  asked.child.stdin!.end(JSON.stringify(input))
  return (await asked).stdout
}

const problems = new Map(
  [
    { task_id: 'HumanEval/0', prompt: 'def f(x):\n    """Twice x, ×2."""\n', entry_point: 'f', test: 'def check(c): pass\n' },
    { task_id: 'HumanEval/10', prompt: 'def g(x):\n', entry_point: 'g', test: 'def check(c): pass\n' },
    { task_id: 2, text: 'Thrice x.', test_list: ['assert h(1) == 3'] },
  ].map((problem, i) => {
    const parsed = parseProblem(JSON.stringify(problem), 'problems', i + 1)
    return [parsed.taskId, parsed]
  }),
)

/** What evalplus/evaluate.py runs: the solution, or the prompt and the completion. */
const theirs = async (path: string): Promise<[string, string][]> => {
  const samples = JSON.parse(await ask('read', path)) as PeerSample[]
  return samples.map(({ task_id, completion, solution }) => [
    task_id,
    solution ?? `${problemOf(problems, task_id).continues ? problemOf(problems, task_id).prompt : ''}${completion}`,
  ])
}
const ours = async (path: string): Promise<[string, string][]> => {
  const found: [string, string][] = []
  for await (const sample of readSamples(path))
    found.push([sample.taskId, programOf(problemOf(problems, sample.taskId), sample).program])
  return found
}

const samples = [
  { task_id: 'HumanEval/0', completion: '    return 2 * x\n' },
  { task_id: 'HumanEval/0', solution: 'def f(x):\n    return x + x  # ×\n' },
  { task_id: 'HumanEval/10', solution: 'def g(x): return x', completion: '    # evalplus takes the solution' },
  { task_id: 'Mbpp/2', completion: 'def h(x): return 3 * x' },
]
const whole = Array.from({ length: 12 }, (_, i) => ({ task_id: `HumanEval/${i % 2 === 0 ? 10 : 0}`, solution: `x = ${i}\n` }))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-evalplus-'))
})
afterAll(async () => await rm(folder, { recursive: true }))

it('lines are read alike, blank ones and compressed ones among them', async () => {
  const text = `${samples.map((each) => JSON.stringify(each)).join('\n\n')}\n`
  await writeFile(join(folder, 'samples.jsonl'), text)
  await writeFile(join(folder, 'samples.jsonl.gz'), gzipSync(text))
  for (const name of ['samples.jsonl', 'samples.jsonl.gz']) {
    expect(await ours(join(folder, name))).toEqual(await theirs(join(folder, name)))
    expect(await ours(join(folder, name))).toHaveLength(samples.length)
  }
})

it('lines that it writes are read', async () => {
  for (const name of ['written.jsonl', 'written.jsonl.gz']) {
    const path = join(folder, name)
    await ask('lines', path, samples)
    expect(await ours(path)).toEqual(await ours(join(folder, 'samples.jsonl')))
  }
})

it('a folder that it writes is read alike, programs of a problem in their order', async () => {
  const path = join(folder, 'programs')
  await ask('folder', path, whole)
  // What else may lie there.
  await mkdir(join(path, 'HumanEval_0', 'more.py'))
  await writeFile(join(path, 'HumanEval_0', 'notes.txt'), 'none')
  await writeFile(join(path, 'eval_results.json'), '{}')
  const found = await ours(path)
  const sorted = (list: readonly [string, string][]) => list.map((each) => each.join('\n')).sort()
  expect(sorted(found)).toEqual(sorted(await theirs(path)))
  const inOrder = (id: string) => whole.filter(({ task_id }) => task_id === id).map(({ solution }) => [id, solution])
  expect(found).toEqual([...inOrder('HumanEval/0'), ...inOrder('HumanEval/10')])
})

it('results that are written here are samples to it', async () => {
  const path = join(folder, 'results.jsonl')
  const results = await openResults(path)
  for await (const sample of readSamples(join(folder, 'samples.jsonl')))
    await results.append(sample, { verdict: 'pass', result: 'passed', seconds: 0 })
  await results.close()
  expect(await theirs(path)).toEqual(await theirs(join(folder, 'samples.jsonl')))
})
