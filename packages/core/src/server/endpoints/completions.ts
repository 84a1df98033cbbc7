/** /v1/completions: texts or token ids, one or many, with `echo` and log-probabilities as evaluation harnesses read them. */
import { drain, type PromptToken, type TextResult, type TextToken } from '../../generation/index.ts'
import { type Answer, alternatives, finiteLogprob, newId, now, streamsOf, streamsOfAll, usageOf } from '../answer.ts'
import { modelFor, type ServerContext } from '../context.ts'
import { invalid, unsupported } from '../errors.ts'
import { doneEvent, merge, type ServerEvent } from '../events.ts'
import {
  checkIds,
  checkMaxTokens,
  checkPrompt,
  encoded,
  enqueue,
  type GeneratedText,
  generateText,
  samplingOf,
  streamOptions,
  type TextJob,
  withConstraint,
} from '../generate.ts'
import type { LoadedModel } from '../models.ts'
import type { CompletionRequest } from '../protocol/completions.ts'
import type { RequestScope } from '../scope.ts'
import { constraintOf, formatDemand } from './conversation.ts'

interface Head {
  readonly id: string
  readonly created: number
  readonly request: CompletionRequest
  readonly p: number
  readonly model: LoadedModel
  /** Undefined: none. */
  readonly logprobs: number | undefined
  readonly prompts: readonly (readonly number[])[]
  readonly n: number
}

/** Prompts of one request as ids: a text, texts, ids, or lists of ids. */
export async function promptsOf(
  given: CompletionRequest['prompt'],
  model: LoadedModel,
  param: string,
  scope: RequestScope,
  { limits }: ServerContext,
): Promise<number[][]> {
  const list: (string | number[])[] =
    typeof given === 'string' ? [given] : typeof given[0] === 'number' ? [given as number[]] : (given as string[] | number[][])
  if (list.length === 0) throw invalid(`${param}: the list is empty`, param)
  if (list.length > limits.prompts) throw invalid(`${param}: at most ${limits.prompts}, got ${list.length}`, param)
  const context = model.text.model.config.maxPositionEmbeddings
  const prompts: number[][] = []
  for (const one of list) {
    const ids =
      typeof one === 'string'
        ? await encoded(model.text.tokenizer.encodeLong(one, { context, signal: scope.signal }), model, param)
        : one
    checkIds(ids, model, param)
    checkPrompt(ids, model, param)
    prompts.push(ids)
  }
  return prompts
}

/** Prompts of a request, at least one. */
export const countPrompts = (given: CompletionRequest['prompt']): number =>
  typeof given === 'string' || typeof given[0] === 'number' ? 1 : Math.max(1, given.length)

export async function completions(request: CompletionRequest, scope: RequestScope, context: ServerContext): Promise<Answer> {
  const { limits } = context
  const n = request.n ?? 1
  if (n > limits.n) throw invalid(`n: at most ${limits.n}, got ${n}`, 'n')
  if (request.suffix) throw unsupported('suffix is not supported', 'suffix')
  if ((request.best_of ?? n) !== n) throw unsupported('best_of is not supported', 'best_of')
  const logprobs = request.logprobs === true ? 1 : request.logprobs === false ? undefined : (request.logprobs ?? undefined)
  if ((logprobs ?? 0) > limits.topLogprobs) throw invalid(`logprobs: at most ${limits.topLogprobs}, got ${logprobs}`, 'logprobs')
  const echo = request.echo ?? false
  if (request.stream && echo && logprobs !== undefined) throw unsupported('echo with logprobs does not stream', 'stream')
  const { model, p } = await modelFor(request.model, request.parscale, scope, context, n * countPrompts(request.prompt))
  const prompts = await promptsOf(request.prompt, model, 'prompt', scope, context)
  if (prompts.length * n > limits.prompts)
    throw invalid(`n: at most ${limits.prompts} texts of a request, got ${prompts.length} prompts, ${n} times each`, 'n')
  const maxTokens = checkMaxTokens(request.max_tokens, 16, 'max_tokens', context)
  if (maxTokens === 0 && !echo) throw invalid('max_tokens: 0 is allowed only with echo', 'max_tokens')
  const sampling = samplingOf(request, model, context)
  const demand = formatDemand(request.response_format, 'response_format')
  const jobs: Omit<TextJob, 'begun'>[] = []
  for (const promptIds of prompts) {
    for (let i = 0; i < n; i++) {
      const wanted = {
        topLogprobs: logprobs,
        logProbabilities: logprobs !== undefined,
        ...streamOptions(request.parscale, p),
        // What is echoed alone, without numbers, needs no step; one is made all the same, for its prompt is checked there.
        promptLogprobs: echo && (logprobs !== undefined || maxTokens === 0) ? (logprobs ?? 0) : undefined,
      }
      const options = { ...sampling, ...wanted, seed: sampling.seed! + i, maxTokens }
      const constrained = withConstraint(options, await constraintOf(demand, model, scope, context))
      jobs.push({ model, p, promptIds, options: constrained })
    }
  }
  const { headers, begun } = enqueue(model, jobs.length, scope, context)
  const head: Head = { id: newId('cmpl-'), created: now(), request, p, model, logprobs, prompts, n }
  const texts = jobs.map((job, i) => generateText({ ...job, begun: begun[i]! }, scope, context))
  if (request.stream) return { events: chunks(texts, head), headers }
  return { json: await whole(texts, head), headers }
}

async function* chunks(texts: readonly GeneratedText[], head: Head): AsyncGenerator<ServerEvent> {
  const { request, prompts, n } = head
  const chunk = (index: number, text: string, more: object = {}): ServerEvent => ({
    data: {
      ...base(head),
      choices: [{ index, text, logprobs: null, finish_reason: null, ...more }],
      // As OpenAI has it: null until the last chunk, where it is asked for at all.
      ...(request.stream_options?.include_usage && { usage: null }),
    },
  })
  if (request.echo) for (const index of texts.keys()) yield chunk(index, promptText(head, prompts[Math.floor(index / n)]!))
  const pieces = merge(texts)
  let next = await pieces.next()
  const offsets = texts.map(() => 0)
  const numbersOf = (rows: readonly Row[], index: number) => {
    if (head.logprobs === undefined) return null
    const start = offsets[index]!
    offsets[index] = rows.reduce((offset, { text }) => offset + text.length, start)
    return logprobsOf(rows, head.logprobs, start)
  }
  try {
    for (; !next.done; next = await pieces.next()) {
      const { index } = next.value
      if ('result' in next.value) {
        const { finishReason, stopToken } = next.value.result
        yield chunk(index, '', {
          ...(stopToken && { logprobs: numbersOf([rowOf(stopToken)], index) }),
          finish_reason: finishReason,
        })
        continue
      }
      const { value } = next.value
      const logprobs = numbersOf(value.tokens.map(rowOf), index)
      yield chunk(index, value.text, {
        logprobs,
        ...(request.parscale?.streams && { parscale: streamsOf(value.tokens) }),
      })
    }
  } finally {
    await pieces.return([])
  }
  if (request.stream_options?.include_usage) yield { data: { ...base(head), choices: [], usage: usageOfAll(next.value, head) } }
  yield doneEvent
}

async function whole(texts: readonly GeneratedText[], head: Head) {
  const { request, logprobs, model, n } = head
  const results = await drain(merge(texts))
  const choices = results.map(({ text, tokens, prompt = [], finishReason, stopToken }, index) => {
    const before = request.echo ? promptText(head, head.prompts[Math.floor(index / n)]!) : ''
    // Harnesses count on one entry for each step, the end of the text among them.
    const echoed = request.echo ? prompt.map((token) => promptRow(token, model)) : []
    return {
      index,
      text: before + text,
      logprobs:
        logprobs === undefined
          ? null
          : logprobsOf([...echoed, ...tokens.map(rowOf), ...(stopToken ? [rowOf(stopToken)] : [])], logprobs, 0),
      finish_reason: finishReason,
    }
  })
  const streams = request.parscale?.streams ? streamsOfAll(results) : {}
  const { parscale, ...rest } = base(head)
  return { ...rest, choices, usage: usageOfAll(results, head), parscale: { ...parscale, ...streams } }
}

const base = ({ id, created, request: { model }, p }: Head) => ({
  id,
  object: 'text_completion',
  created,
  model,
  parscale: { p },
})

const promptText = ({ model }: Head, ids: readonly number[]) => model.text.tokenizer.decode(ids, { skipSpecial: true })

function usageOfAll(results: readonly TextResult[], { prompts, n }: Head) {
  const prompt = prompts.reduce((sum, ids) => sum + ids.length, 0)
  const generated = results.reduce((sum, { tokens }) => sum + tokens.length, 0)
  const cached = prompts.reduce(
    // What one of a prompt's texts computed, the others found.
    (sum, _, i) => sum + Math.min(...results.slice(i * n, (i + 1) * n).map((one) => one.cachedTokens)),
    0,
  )
  return usageOf(prompt, generated, cached)
}

interface Row {
  readonly text: string
  readonly logProbability: number | null
  readonly top: readonly { readonly text: string; readonly logProbability: number }[]
}

const rowOf = (token: TextToken): Row => ({ text: token.text, logProbability: token.logProbability, top: alternatives(token) })

function promptRow({ id, logProbability, topLogprobs }: PromptToken, { text }: LoadedModel): Row {
  const shown = (id: number) => text.tokenizer.tokenText(id)
  const top = topLogprobs.map((one) => ({ ...one, text: shown(one.id) }))
  const own = logProbability === null || top.some((one) => one.id === id) ? [] : [{ text: shown(id), logProbability }]
  return { text: shown(id), logProbability, top: [...top, ...own] }
}

/** Tokens of one spelling count once, the most probable. */
function logprobsOf(rows: readonly Row[], top: number, start: number) {
  let offset = start
  const offsets = rows.map(({ text }) => {
    const at = offset
    offset += text.length
    return at
  })
  const named = (list: Row['top']) => {
    const names: Record<string, number> = Object.create(null)
    for (const { text, logProbability } of list) names[text] = Math.max(names[text] ?? -Infinity, finiteLogprob(logProbability))
    return names
  }
  return {
    tokens: rows.map(({ text }) => text),
    token_logprobs: rows.map(({ logProbability }) => (logProbability === null ? null : finiteLogprob(logProbability))),
    top_logprobs: top === 0 ? null : rows.map((row) => (row.logProbability === null ? null : named(row.top))),
    text_offset: offsets,
  }
}
