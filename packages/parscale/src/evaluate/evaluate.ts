/** An evaluation from its options to its files: tasks, data, answers at each P, results. */
import { join } from 'node:path'
import { usageError } from '@parscale/core/internal'
import {
  type Answerer,
  type BuildOptions,
  type BuiltTask,
  ModelAnswerer,
  overrideGeneration,
  parseGenerationKwargs,
  type TaskSet,
  writesPrograms,
} from '@parscale/core/internal/evaluation/tasks'
import type { TextModel } from '@parscale/core/internal/generation'
import { makeFolder, writeWholeFile } from '@parscale/core/internal/node'
import { packageVersion } from '../package-files.ts'
import type { Io } from '../terminal/io.ts'
import { drawInFile } from '../terminal/plots.ts'
import { evaluationCharts } from './charts.ts'
import { chatWriter } from './chat-writer.ts'
import { DataSets } from './data-sets.ts'
import { Journal } from './journal.ts'
import { checkPrograms, type ProgramJudge, Programs } from './programs.ts'
import { latexTables, markdownTables, pairsJson, pairsOf, type RunFacts, resultRows, resultsJson, sampleLines } from './report.ts'
import { buildTasks, checkTasks, type RunResult, runTasks } from './run.ts'
import { ServerAnswerer } from './server-answerer.ts'
import { diagnoseTasks, type TaskStreams } from './streams.ts'
import { findTasks } from './task-folder.ts'

export interface EvaluateFlags {
  readonly model: string | undefined
  readonly tasks: readonly string[]
  readonly p?: readonly number[] | undefined
  readonly limit?: number | undefined
  readonly numFewshot?: number | undefined
  readonly applyChatTemplate?: true | undefined
  readonly fewshotAsMultiturn?: true | undefined
  readonly systemInstruction?: string | undefined
  readonly seed: number
  readonly atOnce: number
  readonly out?: string | undefined
  readonly resume?: true | undefined
  readonly logSamples?: true | undefined
  readonly predictOnly?: true | undefined
  readonly diagnose?: true | undefined
  readonly data?: ReadonlyMap<string, string> | undefined
  readonly includePath?: string | undefined
  readonly truncate?: true | undefined
  readonly format: string
  readonly server?: string | undefined
  readonly plot?: string | undefined
  /** Runs programs that tasks have the model write: undefined where that was not allowed. */
  readonly judge?: ProgramJudge | undefined
  readonly genKwargs?: Readonly<Record<string, unknown>> | undefined
  readonly numSamples?: number | undefined
  readonly signal: AbortSignal
}

/** @param load loads the model, once tasks and data are found to be right; undefined where a server is asked */
export async function evaluateModel(io: Io, flags: EvaluateFlags, load: (() => Promise<TextModel>) | undefined): Promise<void> {
  const set = withSettings(await findTasks(flags.tasks, flags.includePath), flags)
  const predictOnly = flags.predictOnly === true
  checkTasks(set, predictOnly)
  checkPrograms(set, flags.out, flags.judge !== undefined)
  const pulling = io.progress('data', 'B')
  const data = new DataSets({
    env: io.env,
    local: flags.data,
    signal: flags.signal,
    onProgress: ({ doneBytes, sizeBytes }) => pulling.update(doneBytes, sizeBytes),
  })
  const build: BuildOptions = {
    numFewshot: flags.numFewshot,
    limit: flags.limit,
    seed: flags.seed,
    systemInstruction: flags.systemInstruction,
    fewshotAsMultiturn: flags.fewshotAsMultiturn,
  }
  const programs = new Programs(io, flags.out, flags.judge, flags.signal)
  // Prompts need the model where its template writes them; else they are made first, and what is wrong is said at once.
  const early = flags.applyChatTemplate ? undefined : await buildTasks(set, data, build).finally(() => pulling.end())
  if (early) await programs.prepare(early)
  const model = await load?.()
  const built =
    early ?? (await buildTasks(set, data, { ...build, chatTemplate: chatWriter(model!) }).finally(() => pulling.end()))
  if (!early) await programs.prepare(built)

  const ps = [...new Set(flags.p ?? [model?.model.defaultP ?? 1])]
  for (const p of ps) if (p > 1) model?.model.streamSet(p)
  if (flags.diagnose && !ps.some((p) => p > 1))
    throw usageError('--diagnose compares streams, and P = 1 has none to compare; give --p 2 or more', { flag: 'diagnose' })
  const weights = model?.model.weights ?? 'server'
  const name = flags.model ?? 'the shipped model'
  const journal =
    flags.out === undefined
      ? undefined
      : await Journal.open(
          flags.out,
          { model: flags.server ? `${flags.server} ${name}` : name, weights, seed: flags.seed },
          flags.resume === true,
        )
  try {
    await evaluateAt(ps, { io, flags, set, data, build, built, model, name, weights, journal, programs })
  } finally {
    await journal?.close()
  }
}

interface Evaluation {
  readonly io: Io
  readonly flags: EvaluateFlags
  readonly set: TaskSet
  readonly data: DataSets
  readonly build: BuildOptions
  readonly built: readonly BuiltTask[]
  readonly model: TextModel | undefined
  readonly name: string
  readonly weights: string
  readonly journal: Journal | undefined
  readonly programs: Programs
}

/** Tasks as --gen-kwargs and --num-samples have them. */
function withSettings(set: TaskSet, { genKwargs, numSamples }: EvaluateFlags): TaskSet {
  if (genKwargs === undefined && numSamples === undefined) return set
  const kwargs = parseGenerationKwargs(genKwargs ?? {})
  if (numSamples !== undefined && !set.tasks.some(writesPrograms))
    throw usageError('--num-samples is of tasks that write programs, such as humaneval; there is none in --tasks', {
      flag: 'num-samples',
    })
  if (genKwargs !== undefined && !set.tasks.some(({ outputType }) => outputType === 'generate_until'))
    throw usageError('--gen-kwargs is of tasks that write texts (generate_until); there is none in --tasks', {
      flag: 'gen-kwargs',
    })
  const tasks = set.tasks.map((config) =>
    config.outputType === 'generate_until'
      ? overrideGeneration(config, kwargs, writesPrograms(config) ? numSamples : undefined)
      : config,
  )
  return { ...set, tasks }
}

/** Each P after the other, then its files and tables. */
async function evaluateAt(ps: readonly number[], evaluation: Evaluation): Promise<void> {
  const { io, flags, set, data, build, built, model, name, weights, journal, programs } = evaluation
  const predictOnly = flags.predictOnly === true
  const runs: RunResult[] = []
  for (const p of ps) {
    const progress = io.progress('evaluating', 'questions')
    const answerer: Answerer = model
      ? new ModelAnswerer(model, { p, truncate: flags.truncate })
      : new ServerAnswerer({
          url: flags.server!,
          model: mustName(flags.model),
          p: flags.p === undefined ? undefined : p,
          env: io.env,
        })
    runs.push(
      await runTasks(set, built, p, answerer, journal, {
        ...build,
        predictOnly,
        atOnce: flags.atOnce,
        signal: flags.signal,
        onProgress: (_, done, total) => progress.update(done, total),
        onPrograms: (task, p, answers) => programs.add(task, p, answers),
      }).finally(() => progress.end()),
    )
    const { asked, seconds } = runs.at(-1)!
    io.detail?.(`P = ${p}: ${asked} questions in ${seconds.toFixed(1)} s, ${(asked / seconds).toFixed(2)} a second\n`)
  }

  const facts: RunFacts = {
    model: name,
    weights,
    seed: flags.seed,
    limit: flags.limit,
    numFewshot: flags.numFewshot,
    chatTemplate: flags.applyChatTemplate === true,
    fewshotAsMultiturn: flags.fewshotAsMultiturn === true,
    revisions: data.revisions,
    parscaleVersion: packageVersion(),
  }
  const pairs = predictOnly ? [] : pairsOf(runs, flags.seed)
  const tables = { rows: resultRows(set, built, runs), pairs, streams: flags.diagnose ? await streamsOf(ps, evaluation) : [] }
  const results = runs.map((run) => resultsJson(set, built, run, facts))
  const streams = tables.streams.map(({ diagnosis, ...rest }) => ({ ...rest, ...diagnosis }))
  const json = {
    runs: results,
    comparisons: pairsJson(pairs),
    ...(flags.diagnose && { streams }),
    ...(programs.written.length > 0 && { programs: programs.written }),
  }
  if (flags.out !== undefined) {
    for (const [i, run] of runs.entries()) {
      const folder = join(flags.out, `p${run.p}`)
      await makeFolder(folder)
      await writeWholeFile(join(folder, 'results.json'), `${JSON.stringify(results[i], null, 2)}\n`)
      if (!flags.logSamples && !predictOnly) continue
      for (const [task, samples] of run.samples) await writeWholeFile(join(folder, `samples_${task}.jsonl`), sampleLines(samples))
    }
    await writeWholeFile(join(flags.out, 'comparisons.json'), `${JSON.stringify(json.comparisons, null, 2)}\n`)
    if (flags.diagnose) await writeWholeFile(join(flags.out, 'streams.json'), `${JSON.stringify(streams, null, 2)}\n`)
    await writeWholeFile(join(flags.out, 'table.md'), markdownTables(tables))
  }
  if (flags.plot !== undefined && !predictOnly) await drawInFile(io, flags.plot, evaluationCharts(set, built, runs), 3)
  io.stderr(programs.report())
  if (predictOnly) io.stderr(`answers are in ${flags.out}\n`)
  else if (flags.format === 'json') io.stdout(`${JSON.stringify(json, null, 2)}\n`)
  else io.stdout(flags.format === 'latex' ? latexTables(tables) : markdownTables(tables))
}

async function streamsOf(ps: readonly number[], { io, built, model, flags }: Evaluation): Promise<TaskStreams[]> {
  const progress = io.progress('diagnosing', 'tokens')
  return await diagnoseTasks(model!, built, ps, {
    signal: flags.signal,
    onProgress: (done, total) => progress.update(done, total),
  }).finally(() => progress.end())
}

function mustName(model: string | undefined): string {
  if (model !== undefined) return model
  throw usageError('--server needs the name of a model that it serves', { flag: 'server' })
}
