/** Tasks by P on one model: prompts once, then each P after the other, answers into the journal as they come. */
import { problemFrom, type Tally } from '@parscale/core/internal/evaluation'
import {
  type Answer,
  type Answerer,
  answerTask,
  type BuildOptions,
  type BuiltTask,
  buildTask,
  type Figure,
  groupFigures,
  type Sample,
  type TaskConfig,
  type TaskSet,
  taskData,
  taskFilters,
  taskMetrics,
  taskResult,
  wantsExamples,
  writesPrograms,
} from '@parscale/core/internal/evaluation/tasks'
import type { DataSets } from './data-sets.ts'
import type { Journal } from './journal.ts'

export interface RunOptions extends BuildOptions {
  readonly predictOnly: boolean
  readonly atOnce: number | undefined
  readonly signal: AbortSignal
  readonly onProgress: (label: string, done: number, total: number) => void
  /** Of a task that writes programs: keeps them, and judges them where that may be. @returns how many pass of each question's */
  readonly onPrograms?: (
    task: BuiltTask,
    p: number,
    answers: readonly (readonly Answer[])[],
  ) => Promise<readonly Tally[] | undefined>
}

/** Figures and samples at one P, by task. */
export interface RunResult {
  readonly p: number
  readonly figures: ReadonlyMap<string, readonly Figure[]>
  readonly groups: ReadonlyMap<string, readonly Figure[]>
  readonly samples: ReadonlyMap<string, readonly Sample[]>
  /** Questions answered, and seconds they took, of those that were asked in this run. */
  readonly asked: number
  readonly seconds: number
}

/** Prompts of all tasks. What a task's file asks for and we do not have is refused here, before a model is loaded. */
export async function buildTasks({ tasks }: TaskSet, data: DataSets, options: BuildOptions): Promise<BuiltTask[]> {
  const built: BuiltTask[] = []
  for (const config of tasks) {
    const read = await taskData(config, (split) => data.split(config, split), wantsExamples(config, options.numFewshot))
    // Before prompts are written: what lacks checks is said by name, not by the template that misses them.
    if (writesPrograms(config)) for (const [i, doc] of read.questions.entries()) problemFrom(doc, `${config.task}, item ${i}`)
    built.push(buildTask(config, read, options))
  }
  return built
}

/** Metrics and filters that there are not, before data are pulled. @throws unsupported error naming file and field */
export function checkTasks({ tasks }: TaskSet, predictOnly: boolean): void {
  for (const config of tasks) {
    if (!predictOnly) taskMetrics(config)
    taskFilters(config)
  }
}

export async function runTasks(
  { groups }: TaskSet,
  built: readonly BuiltTask[],
  p: number,
  answerer: Answerer,
  journal: Journal | undefined,
  options: RunOptions,
): Promise<RunResult> {
  const figures = new Map<string, readonly Figure[]>()
  const samples = new Map<string, readonly Sample[]>()
  let asked = 0
  const started = performance.now()
  for (const task of built) {
    const { config, items } = task
    const known = journal?.known(task, p)
    let done = known?.size ?? 0
    const label = `${config.task}, P = ${p}`
    options.onProgress(label, done, items.length)
    const answers = await answerTask(task, answerer, {
      atOnce: options.atOnce,
      seed: options.seed,
      signal: options.signal,
      known,
      onAnswered: async (item, given) => {
        await journal?.add(p, config.task, item, given)
        asked++
        options.onProgress(label, ++done, items.length)
      },
    })
    const tallies = writesPrograms(config) ? await options.onPrograms?.(task, p, answers) : undefined
    const result = await taskResult(task, answers, options.predictOnly, tallies)
    figures.set(config.task, result.figures)
    samples.set(config.task, result.samples)
  }
  const grouped = new Map(groups.map((group) => [group.name, groupFigures(group, groups, figures)]))
  return { p, figures, groups: grouped, samples, asked, seconds: (performance.now() - started) / 1000 }
}

export type { BuiltTask, TaskConfig }
