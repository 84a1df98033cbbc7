/** /v1/chat/completions */
import { drain, type TextResult, type TextToken } from '../../generation/index.ts'
import { type Answer, alternatives, finiteLogprob, newId, now, streamsOf, streamsOfAll, tokenBytes, usageOf } from '../answer.ts'
import { modelFor, type ServerContext } from '../context.ts'
import { invalid } from '../errors.ts'
import { doneEvent, merge, type ServerEvent } from '../events.ts'
import {
  checkMaxTokens,
  enqueue,
  type GeneratedText,
  generateText,
  samplingOf,
  streamOptions,
  type TextJob,
  withConstraint,
} from '../generate.ts'
import { type OutputEvent, OutputParser, type ParserOptions } from '../output/parser.ts'
import type { ChatRequest } from '../protocol/chat.ts'
import type { RequestScope } from '../scope.ts'
import { constraintOf, conversationOf } from './conversation.ts'

/** What all pieces of one answer have in common. */
interface Head {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly p: number
  readonly parser: ParserOptions
  readonly logprobs: boolean
  readonly streams: boolean
  readonly usage: boolean
}

export async function chat(request: ChatRequest, scope: RequestScope, context: ServerContext): Promise<Answer> {
  const { limits } = context
  const n = request.n ?? 1
  if (n > limits.n) throw invalid(`n: at most ${limits.n}, got ${n}`, 'n')
  const top = request.logprobs ? (request.top_logprobs ?? 0) : 0
  if (top > limits.topLogprobs) throw invalid(`top_logprobs: at most ${limits.topLogprobs}, got ${top}`, 'top_logprobs')
  const { model, p } = await modelFor(request.model, request.parscale, scope, context, n)
  const { promptIds, parser, shownTokenIds, demand } = await conversationOf(request, model, scope)
  const asked = request.max_completion_tokens ?? request.max_tokens
  const room = model.text.model.config.maxPositionEmbeddings - promptIds.length + 1
  const maxTokens = checkMaxTokens(asked, room, request.max_completion_tokens ? 'max_completion_tokens' : 'max_tokens', context)
  const sampling = samplingOf(request, model, context)
  const jobs: Omit<TextJob, 'begun'>[] = []
  for (let i = 0; i < n; i++) {
    const options = {
      ...sampling,
      seed: sampling.seed! + i,
      maxTokens,
      topLogprobs: top,
      shownTokenIds,
      logProbabilities: request.logprobs ?? false,
      ...streamOptions(request.parscale, p),
    }
    const constrained = withConstraint(options, await constraintOf(demand, model, scope, context, parser.reasons))
    jobs.push({ model, p, promptIds, options: constrained })
  }
  const { headers, begun } = enqueue(model, n, scope, context)
  const head: Head = {
    id: newId('chatcmpl-'),
    created: now(),
    ...{ model: request.model, p, parser },
    logprobs: request.logprobs ?? false,
    streams: request.parscale?.streams ?? false,
    usage: request.stream_options?.include_usage ?? false,
  }
  const texts = jobs.map((job, i) => generateText({ ...job, begun: begun[i]! }, scope, context))
  if (request.stream) return { events: chunks(texts, head), headers }
  return { json: await whole(texts, head), headers }
}

async function* chunks(texts: readonly GeneratedText[], head: Head): AsyncGenerator<ServerEvent> {
  const chunk = (index: number, delta: object, more: object = {}): ServerEvent => ({
    data: {
      ...base(head, 'chat.completion.chunk'),
      choices: [{ index, delta, logprobs: null, finish_reason: null, ...more }],
      // As OpenAI has it: null until the last chunk, where it is asked for at all.
      ...(head.usage && { usage: null }),
    },
  })
  const parsers = texts.map(() => new OutputParser(head.parser))
  for (const index of texts.keys()) yield chunk(index, { role: 'assistant', content: '' })
  const pieces = merge(texts)
  let next = await pieces.next()
  try {
    for (; !next.done; next = await pieces.next()) {
      const { index } = next.value
      if ('result' in next.value) {
        for (const event of parsers[index]!.end()) yield chunk(index, deltaOf(event))
        yield chunk(index, {}, { finish_reason: reasonOf(next.value.result.finishReason, parsers[index]!.calls) })
        continue
      }
      const { value } = next.value
      const deltas = parsers[index]!.push(value.text).map(deltaOf)
      const more = {
        ...(head.logprobs && { logprobs: logprobsOf(value.tokens) }),
        ...(head.streams && { parscale: streamsOf(value.tokens) }),
      }
      // Numbers of tokens come with the first piece of what these tokens made, or alone.
      if (deltas.length === 0 && (head.logprobs || head.streams)) deltas.push({})
      for (const [i, delta] of deltas.entries()) yield chunk(index, delta, i === 0 ? more : {})
    }
  } finally {
    await pieces.return([])
  }
  if (head.usage) yield { data: { ...base(head, 'chat.completion.chunk'), choices: [], usage: usageOfAll(next.value) } }
  yield doneEvent
}

async function whole(texts: readonly GeneratedText[], head: Head) {
  const results = await drain(merge(texts))
  const choices = results.map((result, index) => {
    const parser = new OutputParser(head.parser)
    const message = messageOf([...parser.push(result.text), ...parser.end()])
    return {
      index,
      message,
      logprobs: head.logprobs ? logprobsOf(result.tokens) : null,
      finish_reason: reasonOf(result.finishReason, parser.calls),
    }
  })
  const streams = head.streams ? streamsOfAll(results) : {}
  const { parscale, ...rest } = base(head, 'chat.completion')
  return { ...rest, choices, usage: usageOfAll(results), parscale: { ...parscale, ...streams } }
}

const base = ({ id, created, model, p }: Head, object: string) => ({ id, object, created, model, parscale: { p } })

/** A prompt counts once, however many answers it has. */
function usageOfAll(results: readonly TextResult[]) {
  const generated = results.reduce((sum, { tokens }) => sum + tokens.length, 0)
  // The prompt counts once: what one of its texts computed, the others found.
  return usageOf(results[0]!.promptTokens, generated, Math.min(...results.map(({ cachedTokens }) => cachedTokens)))
}

const reasonOf = (reason: TextResult['finishReason'], calls: number) => (calls > 0 && reason === 'stop' ? 'tool_calls' : reason)

function deltaOf(event: OutputEvent): object {
  switch (event.type) {
    case 'content':
      return { content: event.text }
    case 'reasoning':
      return { reasoning_content: event.text, reasoning: event.text }
    case 'call':
      return {
        tool_calls: [{ index: event.index, id: newId('call_'), type: 'function', function: { name: event.name, arguments: '' } }],
      }
    case 'arguments':
      return { tool_calls: [{ index: event.index, function: { arguments: event.text } }] }
  }
}

function messageOf(events: readonly OutputEvent[]) {
  let [content, reasoning] = ['', '']
  const calls: { id: string; type: 'function'; function: { name: string; arguments: string } }[] = []
  for (const event of events) {
    if (event.type === 'content') content += event.text
    else if (event.type === 'reasoning') reasoning += event.text
    else if (event.type === 'call')
      calls.push({ id: newId('call_'), type: 'function', function: { name: event.name, arguments: '' } })
    else calls[event.index]!.function.arguments += event.text
  }
  return {
    role: 'assistant',
    content: content === '' && calls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning !== '' && { reasoning_content: reasoning, reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

function logprobsOf(tokens: readonly TextToken[]) {
  const entry = ({ text, logProbability }: Pick<TextToken, 'text' | 'logProbability'>) => ({
    token: text,
    logprob: finiteLogprob(logProbability),
    bytes: tokenBytes(text),
  })
  return {
    content: tokens.map((token) => ({ ...entry(token), top_logprobs: token.topLogprobs ? alternatives(token).map(entry) : [] })),
    refusal: null,
  }
}
