/** /v1/responses, without memory: a conversation is sent whole each time. */
import type { TextChunk, TextResult } from '../../generation/index.ts'
import { safeParse } from '../../safe-parse.ts'
import { type Answer, newId, now } from '../answer.ts'
import { modelFor, type ServerContext } from '../context.ts'
import { invalid, toApiError, unsupported } from '../errors.ts'
import type { ServerEvent } from '../events.ts'
import { noteFailure } from '../failure.ts'
import { checkMaxTokens, enqueue, generateText, samplingOf, streamOptions, withConstraint } from '../generate.ts'
import type { LoadedModel } from '../models.ts'
import { OutputParser, type ParserOptions } from '../output/parser.ts'
import { ResponseItems } from '../output/response-items.ts'
import { type Message, responseFormat, type Tool } from '../protocol/chat.ts'
import type { ResponseInput, ResponseRequest } from '../protocol/responses.ts'
import type { RequestScope } from '../scope.ts'
import { type ConversationRequest, calledName, constraintOf, conversationOf } from './conversation.ts'

export async function responses(request: ResponseRequest, scope: RequestScope, context: ServerContext): Promise<Answer> {
  if (request.previous_response_id)
    throw unsupported(
      'previous_response_id: this server keeps no answers; send the whole conversation as input',
      'previous_response_id',
    )
  const { model, p } = await modelFor(request.model, request.parscale, scope, context)
  const { promptIds, parser, shownTokenIds, demand } = await conversationOf(conversation(request, model), model, scope)
  const room = model.text.model.config.maxPositionEmbeddings - promptIds.length + 1
  const maxTokens = checkMaxTokens(request.max_output_tokens, room, 'max_output_tokens', context)
  const { withoutStreams } = streamOptions(request.parscale, p)
  const sampling = { ...samplingOf(request, model, context), ...(withoutStreams && { withoutStreams }) }
  const options = { ...sampling, maxTokens, shownTokenIds, logProbabilities: false }
  const constrained = withConstraint(options, await constraintOf(demand, model, scope, context, parser.reasons))
  const { headers, begun } = enqueue(model, 1, scope, context)
  const text = generateText({ model, p, promptIds, options: constrained, begun: begun[0]! }, scope, context)
  const events = answer(text, request, p, parser)
  if (request.stream) return { events: numbered(events, scope, context), headers }
  let last: Record<string, unknown> = {}
  for await (const event of events) {
    if (event.type === 'response.failed') throw event.cause
    last = event
  }
  return { json: last.response, headers }
}

type ResponseEvent = { readonly type: string; readonly [field: string]: unknown }

async function* answer(
  text: AsyncGenerator<TextChunk, TextResult>,
  request: ResponseRequest,
  p: number,
  options: ParserOptions,
): AsyncGenerator<ResponseEvent> {
  const items = new ResponseItems()
  const parser = new OutputParser(options)
  const head = responseHead(request, p)
  let reasoningTokens = 0
  let kind = options.reasons ? 'reasoning' : 'content'
  yield { type: 'response.created', response: head }
  yield { type: 'response.in_progress', response: head }
  try {
    let next = await text.next()
    for (; !next.done; next = await text.next()) {
      const events = parser.push(next.value.text)
      kind = events.at(-1)?.type ?? kind
      if (kind === 'reasoning') reasoningTokens += next.value.tokens.length
      yield* items.push(events)
    }
    yield* items.push(parser.end())
    const { finishReason, promptTokens, cachedTokens, tokens } = next.value
    const status = finishReason === 'length' ? 'incomplete' : 'completed'
    yield* items.close(status)
    const usage = {
      input_tokens: promptTokens,
      input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
      output_tokens: tokens.length,
      output_tokens_details: { reasoning_tokens: reasoningTokens },
      total_tokens: promptTokens + tokens.length,
    }
    const end = { ...head, status, output: items.output, usage }
    if (status === 'completed') yield { type: 'response.completed', response: { ...end, completed_at: now() } }
    else yield { type: 'response.incomplete', response: { ...end, incomplete_details: { reason: 'max_output_tokens' } } }
  } catch (error) {
    const { message, facts } = toApiError(error)
    const failed = {
      ...head,
      status: 'failed',
      output: items.output,
      error: { code: 'server_error', message: facts.code ? `${facts.code}: ${message}` : message },
    }
    yield { type: 'response.failed', response: failed, cause: error }
  } finally {
    await text.return(undefined as never).catch(() => {})
  }
}

async function* numbered(
  events: AsyncGenerator<ResponseEvent>,
  scope: RequestScope,
  context: ServerContext,
): AsyncGenerator<ServerEvent> {
  let sequence = 0
  for await (const { cause, ...event } of events) {
    // The answer's own event tells the client; nobody else throws it.
    if (event.type === 'response.failed') noteFailure(cause, scope, context)
    yield { event: event.type, data: { ...event, sequence_number: sequence++ } }
  }
}

const responseHead = (request: ResponseRequest, p: number) => ({
  id: newId('resp_'),
  object: 'response',
  created_at: now(),
  status: 'in_progress',
  error: null,
  incomplete_details: null,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  metadata: request.metadata ?? {},
  model: request.model,
  output: [] as unknown[],
  parallel_tool_calls: request.parallel_tool_calls ?? true,
  previous_response_id: null,
  reasoning: { effort: request.reasoning?.effort ?? null, summary: null },
  store: false,
  temperature: request.temperature ?? 1,
  text: { format: request.text?.format ?? { type: 'text' } },
  tool_choice: request.tool_choice ?? 'auto',
  tools: request.tools ?? [],
  top_p: request.top_p ?? 1,
  truncation: 'disabled',
  parscale: { p },
})

function conversation(request: ResponseRequest, model: LoadedModel): ConversationRequest {
  const { tool_choice: choice, parallel_tool_calls, reasoning } = request
  const system: Message[] = request.instructions ? [{ role: 'system', content: request.instructions }] : []
  const messages = [...system, ...messagesOf(request.input)]
  if (messages.length === 0) throw invalid('input: there is nothing in it that this server knows', 'input')
  // Tools that the template cannot say are as good as tools of a kind that nobody knows.
  const tools = model.form.tools ? functionsOf(request) : []
  const tool_choice =
    typeof choice === 'object' && choice !== null
      ? { type: 'function', function: { name: calledName(choice, choice.name) } }
      : // Where no tool is left, none can be asked for.
        choice === 'required' && tools.length === 0
        ? ('auto' as const)
        : choice
  return {
    messages,
    tools,
    parallel_tool_calls,
    tool_choice,
    response_format: formatOf(request),
    reasoning_effort: reasoning?.effort,
  }
}

const functionsOf = ({ tools }: ResponseRequest): Tool[] =>
  (tools ?? []).flatMap(({ type, name, description, parameters }) =>
    type === 'function' && typeof name === 'string'
      ? [
          {
            type,
            function: {
              name,
              description: description as string,
              parameters: (parameters ?? undefined) as Record<string, unknown>,
            },
          },
        ]
      : [],
  )

/** Chat completions have the schema one level deeper. */
function formatOf({ text }: ResponseRequest) {
  const format = text?.format
  if (!format || format.type === 'text') return undefined
  const parsed = safeParse(responseFormat, { ...format, json_schema: format })
  if (!parsed.success) throw unsupported(`text.format: type ${JSON.stringify(format.type)} is not supported`, 'text.format')
  return parsed.data
}

function messagesOf(input: ResponseRequest['input']): Message[] {
  if (typeof input === 'string') return [{ role: 'user', content: input }]
  const messages: Message[] = []
  for (const item of input) {
    const message = messageOf(item)
    const last = messages.at(-1)
    // Calls of one answer are items of their own here, and one message for templates.
    if (message?.tool_calls && last?.role === 'assistant') last.tool_calls = [...(last.tool_calls ?? []), ...message.tool_calls]
    else if (message) messages.push(message)
  }
  return messages
}

function messageOf(item: ResponseInput): Message | undefined {
  if (item.type === 'function_call') {
    const call = {
      id: textOf(item.call_id),
      type: 'function',
      function: { name: textOf(item.name), arguments: textOf(item.arguments) },
    }
    return { role: 'assistant', content: '', tool_calls: [call] }
  }
  if (item.type === 'function_call_output')
    return { role: 'tool', tool_call_id: textOf(item.call_id), content: contentOf(item.output) }
  if (item.type !== undefined && item.type !== 'message') return undefined
  const roles = ['system', 'developer', 'user', 'assistant'] as const
  const role = roles.find((known) => known === item.role)
  return role && { role, content: contentOf(item.content) }
}

/** Of what is no text, its JSON: objects of a stranger need not have a `toString` that works. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : value == null ? '' : JSON.stringify(value))

const contentOf = (content: unknown): Message['content'] =>
  Array.isArray(content) ? content.filter((part) => typeof part?.type === 'string') : textOf(content)
