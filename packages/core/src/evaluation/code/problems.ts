/**
 * Programming problems as their data sets write them, one JSON object a line: HumanEval and HumanEval+ (a function to complete,
 * checks that define `check(candidate)`), MBPP and MBPP+ (a task in words, checks as statements).
 */
import { z } from 'zod'
import { parseJsonText } from '../../checkpoint/json-text.ts'
import { checkpointError, unsupportedError } from '../../errors.ts'
import { safeParse } from '../../safe-parse.ts'

/** What a program is to do, and how that is checked. */
export interface Problem {
  readonly taskId: string
  /** Source up to where the completion begins, or words. */
  readonly prompt: string
  /** Whether a completion continues the prompt; else it stands alone. */
  readonly continues: boolean
  /** The function that `check` is called with; absent where the checks are statements. */
  readonly entryPoint?: string | undefined
  /** Source of the checks. They fail by raising. */
  readonly test: string
  /** The checks as statements, for prompts that show them. */
  readonly statements: readonly string[]
  /** A right solution's completion, where the data set has one. */
  readonly canonical?: string | undefined
}

const name = z.union([z.string(), z.number().transform(String)])
const functionForm = z.object({
  task_id: name,
  prompt: z.string(),
  entry_point: z.string(),
  test: z.string(),
  canonical_solution: z.string().optional(),
})
const statementForm = z.object({
  task_id: name,
  text: z.string().optional(),
  prompt: z.string().optional(),
  code: z.string().optional(),
  test_setup_code: z.string().optional(),
  test_imports: z.array(z.string()).optional(),
  test_list: z.array(z.string()).min(1),
  /** MBPP+: all checks, as one source. */
  test: z.string().optional(),
})

/**
 * Reads a line of a file of problems: HumanEval(+), MBPP(+).
 *
 * @param file for errors
 * @param line of the object, from 1
 * @throws checkpoint error that names file, line and field; unsupported error for a form without checks
 */
export function parseProblem(text: string, file: string, line: number): Problem {
  const where = `${file}, line ${line}`
  return problemFrom(parseJsonText(text, where), where)
}

/** @param where for errors. Fields that are null count as absent @throws as parseProblem */
export function problemFrom(value: unknown, where: string): Problem {
  const json = withoutNulls(value)
  const has = (field: string) => typeof json === 'object' && json !== null && field in json
  if (has('test_list')) {
    const problem = parsed(statementForm, json, where)
    const setup = [problem.test_setup_code ?? '', ...(problem.test_imports ?? [])].filter((each) => each !== '')
    return {
      taskId: problem.task_id,
      prompt: problem.prompt ?? problem.text ?? '',
      continues: false,
      test: problem.test ?? [...setup, ...problem.test_list].join('\n'),
      statements: problem.test_list,
      canonical: problem.code,
    }
  }
  if (has('base_input') && !has('test'))
    throw unsupportedError(
      `${where}: is in evalplus' own form, with inputs and no checks; use the data set of the hub, which has both in "test" (evalplus/humanevalplus, evalplus/mbppplus)`,
      { found: where },
    )
  const problem = parsed(functionForm, json, where)
  return {
    taskId: problem.task_id,
    prompt: problem.prompt,
    continues: true,
    entryPoint: problem.entry_point,
    test: problem.test,
    statements: [],
    canonical: problem.canonical_solution,
  }
}

/** As tables have rows: a column that a line does not have is null. */
const withoutNulls = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).filter(([, field]) => field !== null))
    : value

function parsed<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const { data, error } = safeParse(schema, json)
  if (!error) return data
  const { path, message } = error.issues[0]!
  throw checkpointError(
    `${where}: ${path.length === 0 ? 'the line' : `"${path.join('.')}"`} is no field of a problem (${message}); a HumanEval line has task_id, prompt, entry_point and test, an MBPP line task_id, text or prompt, and test_list`,
  )
}
