/** Figures of `parscale eval --out FOLDER` for a model's card: of each P its results.json, which is the harness' form. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { usageError } from '@parscale/core/internal'
import { safeParse } from '@parscale/core/internal/evaluation/tasks'
import * as z from 'zod'

/** One metric of one task at one P. */
export interface TaskSummary {
  readonly p: number
  readonly task: string
  readonly metric: string
  /** What became of a generated text before it was judged; `none` where nothing. */
  readonly filter: string
  readonly value: number
  readonly standardError?: number
  readonly higherIsBetter: boolean
  readonly fewshot: number
  /** Questions asked. */
  readonly questions: number
  readonly dataset: { readonly path: string; readonly config?: string; readonly split?: string; readonly revision?: string }
}

const optional = z.string().nullish()
const schema = z.object({
  results: z.record(z.string(), z.record(z.string(), z.unknown())),
  configs: z.record(
    z.string(),
    z.object({ dataset_path: optional, dataset_name: optional, test_split: optional, validation_split: optional }),
  ),
  'n-shot': z.record(z.string(), z.number()),
  'n-samples': z.record(z.string(), z.object({ effective: z.number() })),
  higher_is_better: z.record(z.string(), z.record(z.string(), z.boolean())),
  dataset_revisions: z.record(z.string(), z.string()).default({}),
  p: z.int().positive(),
})

/**
 * @param folder an evaluation's --out
 * @throws usage error where there are no results in it, or what is no such file
 */
export async function readEvalResults(folder: string): Promise<TaskSummary[]> {
  const names = (await readdir(folder))
    .filter((name) => /^p\d+$/.test(name))
    .sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
  const found: TaskSummary[] = []
  for (const name of names) found.push(...(await readOne(join(folder, name, 'results.json'))))
  if (found.length > 0) return found
  throw usageError(`--results ${folder}: holds no results of parscale eval (p1/results.json and the like)`, {
    flag: 'results',
    file: folder,
  })
}

async function readOne(file: string): Promise<TaskSummary[]> {
  const refuse = (what: string): never => {
    throw usageError(`--results ${file}: ${what}`, { flag: 'results', file })
  }
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => refuse(`cannot be read (${cause.code})`))
  const { data, error } = safeParse(schema, parse(text))
  if (error) {
    const [issue] = error.issues
    return refuse(`is no results.json of parscale eval: ${issue!.path.join('.') || 'the file'}: ${issue!.message}`)
  }
  // Groups are means of what stands here by itself.
  return Object.entries(data.configs).flatMap(([task, config]) => {
    const figures = data.results[task] ?? {}
    const split = config.test_split ?? config.validation_split
    const path = config.dataset_path ?? task
    const revision = data.dataset_revisions[path]
    return Object.entries(figures).flatMap(([key, value]): TaskSummary[] => {
      const [, metric, filter] = /^([^,]+),(.+)$/.exec(key) ?? []
      if (metric === undefined || filter === undefined || metric.endsWith('_stderr') || typeof value !== 'number') return []
      const error = figures[`${metric}_stderr,${filter}`]
      return [
        {
          p: data.p,
          task,
          metric,
          filter,
          value,
          ...(typeof error === 'number' && { standardError: error }),
          higherIsBetter: data.higher_is_better[task]?.[metric] ?? true,
          fewshot: data['n-shot'][task] ?? 0,
          questions: data['n-samples'][task]?.effective ?? 0,
          dataset: {
            path,
            ...(config.dataset_name && { config: config.dataset_name }),
            ...(split && { split }),
            ...(revision && { revision }),
          },
        },
      ]
    })
  })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
