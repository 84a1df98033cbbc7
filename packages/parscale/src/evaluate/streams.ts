/** What the streams do on a task's own questions, right answers included: a row of `diagnose` for each task and P. */
import { type Diagnosis, diagnose } from '@parscale/core/internal/evaluation'
import type { BuiltTask, Item } from '@parscale/core/internal/evaluation/tasks'
import type { TextModel } from '@parscale/core/internal/generation'

export interface TaskStreams {
  readonly task: string
  readonly p: number
  readonly diagnosis: Diagnosis
}

/** Of each task: whole questions, until there are as many. Each is read P times over and more. */
const tokensOfTask = 2048

export interface StreamsOptions {
  readonly signal: AbortSignal
  readonly onProgress: (done: number, total: number) => void
}

/** @param ps those above 1 are looked at */
export async function diagnoseTasks(
  model: TextModel,
  built: readonly BuiltTask[],
  ps: readonly number[],
  { signal, onProgress }: StreamsOptions,
): Promise<TaskStreams[]> {
  const found: TaskStreams[] = []
  for (const task of built) {
    const texts = textsOf(model, task)
    for (const p of ps.filter((p) => p > 1))
      found.push({ task: task.config.task, p, diagnosis: await diagnose(model.engine, texts, { p, signal, onProgress }) })
  }
  return found
}

function textsOf({ tokenizer, model }: TextModel, task: BuiltTask): number[][] {
  const texts: number[][] = []
  let left = tokensOfTask
  for (const item of task.items) {
    const ids = tokenizer.encode(rightText(task, item), { allowSpecial: true }).slice(-model.config.maxPositionEmbeddings)
    if (ids.length < 2) continue
    if (texts.length > 0 && ids.length > left) break
    texts.push(ids)
    left -= ids.length
  }
  return texts
}

/** What is asked, with its answer where that is there to be scored. */
function rightText({ multipleInputs, reader }: BuiltTask, { doc, target, choices, requests }: Item): string {
  const first = Array.isArray(target) ? target[0] : target
  const right = multipleInputs ? reader.text(doc) : typeof first === 'number' ? first : choices.indexOf(String(first))
  const request = requests[right as number] ?? requests[0]!
  switch (request.kind) {
    case 'loglikelihood':
      return request.context + request.continuation
    case 'loglikelihood_rolling':
      return request.text
    case 'generate_until':
      return request.context
  }
}

export const streamsHead = [
  'Tasks',
  'P',
  'tokens',
  'rho',
  'alone',
  'ensemble',
  'aggregate',
  'differ',
  'entropy',
  'alarms',
] as const

/** Losses are in nats a token: of the streams alone (their mean), of their probabilities' average, of the model as it runs. */
export function streamsRow({ task, p, diagnosis }: TaskStreams): string[] {
  const { tokens, losses, correlation, disagreement, weights, alarms } = diagnosis
  const alone = losses.streams.reduce((sum, { loss }) => sum + loss, 0) / p
  const pairs = disagreement.flatMap((row, i) => row.slice(0, i))
  const differ = pairs.reduce((sum, share) => sum + share, 0) / pairs.length
  const figures = [correlation.meanRho, alone, losses.ensemble.loss, losses.aggregate, differ, weights.entropy]
  return [task, String(p), String(tokens), ...figures.map((x) => x.toFixed(4)), alarms.map(({ kind }) => kind).join(', ')]
}
