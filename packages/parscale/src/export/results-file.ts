/** Reads further results for the card: a file of losses (other texts, or the plain backbone), or the folder of an evaluation. */
import { readFile, stat } from 'node:fs/promises'
import { usageError } from '@parscale/core/internal'
import { readEvalResults, type TaskSummary } from './eval-results.ts'
import type { ResultSummary } from './model-card.ts'

export interface FurtherResults {
  readonly results: readonly ResultSummary[]
  readonly tasks: readonly TaskSummary[]
}

/** @throws as readResults and readEvalResults */
export async function readFurtherResults(path: string): Promise<FurtherResults> {
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
  return isFolder ? { results: [], tasks: await readEvalResults(path) } : { results: await readResults(path), tasks: [] }
}

/** @throws usage error for a file that holds no such list, naming the entry */
export async function readResults(file: string): Promise<ResultSummary[]> {
  const refuse = (what: string): never => {
    throw usageError(`--results ${file}: ${what}`, { flag: 'results', file })
  }
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => refuse(`cannot be read (${cause.code})`))
  const list = parse(text)
  if (!Array.isArray(list)) return refuse('expected a JSON list')
  const wrong = list.findIndex((each) => !isResult(each))
  if (wrong >= 0) {
    refuse(
      `entry ${wrong}: expected { p, loss, tokens, interval?: [low, high], data?: text }, found ${JSON.stringify(list[wrong])}`,
    )
  }
  return list
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isResult(value: unknown): value is ResultSummary {
  const { p, loss, tokens, interval = [0, 0], data = '' } = Object(value) as Record<string, unknown>
  const isPair = Array.isArray(interval) && interval.length === 2 && interval.every(Number.isFinite)
  return Number.isInteger(p) && Number.isFinite(loss) && Number.isInteger(tokens) && isPair && typeof data === 'string'
}
