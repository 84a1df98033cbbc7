/** From OpenAI's messages and tools to a prompt in the words of the model's own chat template. */
import { isParscaleError, usageError } from '../../errors.ts'
import type { TextModel, TokenConstraint } from '../../generation/index.ts'
import type { ChatMessage } from '../../tokenizer/index.ts'
import type { Demand, FormatDemand, ServerContext } from '../context.ts'
import { invalid, unsupported } from '../errors.ts'
import { checkPrompt, encoded } from '../generate.ts'
import { parsedText } from '../json-body.ts'
import type { LoadedModel } from '../models.ts'
import type { ParserOptions } from '../output/parser.ts'
import type { ChatRequest, Message, ResponseFormat, Tool } from '../protocol/chat.ts'
import type { RequestScope } from '../scope.ts'

export interface Conversation {
  readonly promptIds: readonly number[]
  readonly parser: ParserOptions
  readonly shownTokenIds: readonly number[]
  readonly demand: Demand | undefined
}

export type ConversationRequest = Pick<
  ChatRequest,
  'messages' | 'tools' | 'tool_choice' | 'parallel_tool_calls' | 'response_format' | 'reasoning_effort' | 'chat_template_kwargs'
>

/** @throws what OpenAI's server refuses as well, and where the model's template cannot say what is asked */
export async function conversationOf(
  request: ConversationRequest,
  model: LoadedModel,
  scope: RequestScope,
): Promise<Conversation> {
  const { text, form } = model
  const { chatTemplate, tokenizer } = text
  if (!chatTemplate) throw unsupported(`${model.id} has no chat template; use /v1/completions`, 'model')
  const tools = toolsOf(request, model)
  const messages = request.messages.map(templateMessage)
  const variables = {
    ...request.chat_template_kwargs,
    ...(request.reasoning_effort && {
      reasoning_effort: request.reasoning_effort,
      enable_thinking: request.reasoning_effort !== 'none',
    }),
    ...(tools.length > 0 && { tools: tools.map(({ type, function: about }) => ({ type, function: about })) }),
  }
  const context = text.model.config.maxPositionEmbeddings
  const options = { addGenerationPrompt: true, variables, context, signal: scope.signal }
  const promptIds = await encoded(chatTemplate.encodeLong(messages, options).catch(templateFailed), model, 'messages')
  checkPrompt(promptIds, model, 'messages')
  const { reasoning } = form
  const end = reasoning ? tokenizer.decode(promptIds.slice(-12)).trimEnd() : ''
  return {
    promptIds,
    shownTokenIds: form.shownTokenIds,
    parser: {
      reasoning,
      tools: tools.length > 0 ? form.tools : undefined,
      reasons: reasoning !== undefined && end.endsWith(reasoning.open),
    },
    demand: demandOf(request, tools, form.tools),
  }
}

/** @throws usage or unsupported error that names what cannot be held to */
export async function constraintOf(
  demand: Demand | undefined,
  { text, form }: LoadedModel,
  { signal }: RequestScope,
  { constrain }: ServerContext,
  reasons = false,
): Promise<TokenConstraint | undefined> {
  if (!demand) return undefined
  const constraint = await constrain(text, demand, signal)
  const close = reasons && form.reasoning ? text.tokenizer.idOf(form.reasoning.close) : undefined
  return close === undefined ? constraint : afterToken(constraint, close, text)
}

/** Anything but the end may come until this token; then what the constraint allows. */
function afterToken(constraint: TokenConstraint, close: number, { model, stopTokenIds }: TextModel): TokenConstraint {
  const all = new Uint32Array(Math.ceil(model.config.vocabSize / 32)).fill(0xffffffff)
  for (const id of stopTokenIds) all[id >>> 5]! &= ~(1 << (id & 31))
  let closed = false
  return {
    allowed: () => (closed ? constraint.allowed() : all),
    prepare: (signal) => (closed ? constraint.prepare?.(signal) : undefined),
    accept(token) {
      if (closed) constraint.accept(token)
      else closed = token === close
    },
    get done() {
      return closed && constraint.done
    },
  }
}

function toolsOf(
  { tools, tool_choice }: ConversationRequest,
  { id, form }: LoadedModel,
): (Tool & { function: NonNullable<Tool['function']> })[] {
  if (tool_choice === 'none') return []
  const functions = (tools ?? []).filter((tool): tool is Tool & { function: NonNullable<Tool['function']> } => {
    if (tool.type === 'function' && !tool.function) throw invalid('tools: a tool of type "function" needs a function', 'tools')
    return tool.function !== undefined
  })
  if (functions.length > 0 && !form.tools)
    throw unsupported(`tools: the chat template of ${id} has no tool calls that this server knows`, 'tools')
  return functions
}

function demandOf(
  { tool_choice: choice, parallel_tool_calls, response_format }: ConversationRequest,
  tools: readonly { function: NonNullable<Tool['function']> }[],
  form: LoadedModel['form']['tools'],
): Demand | undefined {
  const format = formatDemand(response_format, 'response_format')
  const free = !choice || choice === 'none' || choice === 'auto'
  if (free && (!format || tools.length === 0)) return format
  const name = free || choice === 'required' ? undefined : calledName(choice, choice.function?.name)
  const chosen = tools.filter((tool) => name === undefined || tool.function.name === name)
  if (chosen.length === 0)
    throw invalid(
      name === undefined ? 'tool_choice: there are no tools' : `tool_choice: there is no tool ${JSON.stringify(name)}`,
      'tool_choice',
    )
  return {
    kind: 'calls',
    form: form!,
    tools: chosen.map(({ function: { name, parameters } }) => ({ name, parameters: parameters ?? { type: 'object' } })),
    parallel: parallel_tool_calls !== false,
    ...(free && format && { otherwise: format }),
  }
}

/** Of a choice that is an object. @throws what it names that is no function, which cannot be held to */
export function calledName({ type }: { readonly type: string }, name: unknown): string {
  if (type !== 'function')
    throw unsupported(
      `tool_choice: type ${JSON.stringify(type.slice(0, 40))} is not supported, only "function" with a name, "none", "auto" and "required"`,
      'tool_choice',
    )
  if (typeof name !== 'string') throw invalid('tool_choice: type "function" needs the name of a function', 'tool_choice')
  return name
}

export function formatDemand(format: ResponseFormat | null | undefined, param: string): FormatDemand | undefined {
  switch (format?.type) {
    case 'json_object':
      return { kind: 'json' }
    case 'json_schema':
      if (!format.json_schema?.schema) throw invalid(`${param}: json_schema needs a schema`, param)
      return { kind: 'schema', schema: format.json_schema.schema }
    case 'regex':
      if (format.pattern === undefined) throw invalid(`${param}: regex needs a pattern`, param)
      return { kind: 'regex', pattern: format.pattern }
    default:
      return undefined
  }
}

const roles: Readonly<Record<string, string>> = { developer: 'system', function: 'tool' }

/** As templates read it: contents are texts, arguments are objects. */
export function templateMessage(message: Message, i: number): ChatMessage {
  const { role, content, tool_calls: calls, ...others } = message
  return {
    ...others,
    role: roles[role] ?? role,
    content: contentText(content, i),
    ...(calls &&
      calls.length > 0 && {
        tool_calls: calls.map((call) => ({
          type: 'function',
          ...call,
          function: { ...call.function, arguments: argumentsOf(call.function.arguments) },
        })),
      }),
  }
}

function contentText(content: Message['content'], i: number): string {
  if (typeof content === 'string') return content
  return (content ?? [])
    .map((part) => {
      if (typeof part.text === 'string') return part.text
      if (typeof part.refusal === 'string') return part.refusal
      throw unsupported(
        `messages[${i}].content: parts of type ${JSON.stringify(part.type)} are not supported, only texts`,
        'messages',
      )
    })
    .join('')
}

/** What a model wrote need not be JSON. */
function argumentsOf(text: string): unknown {
  const value = parsedText(text)
  if (typeof value === 'object' && value !== null) return value
  return text === '' ? {} : text
}

/** What a template cannot say is mostly the conversation's fault: an order of roles, or too much of it. */
function templateFailed(error: unknown): never {
  if (isParscaleError(error) && error.facts.file === 'chat template' && error.kind === 'checkpoint')
    throw invalid(error.message, 'messages', 'template_failed')
  throw error
}

/** For /tokenize, which has no tools. */
export function plainConversation(messages: readonly Message[], model: LoadedModel, addGenerationPrompt: boolean): number[] {
  if (!model.text.chatTemplate) throw usageError(`${model.id} has no chat template`)
  try {
    return model.text.chatTemplate.encode(messages.map(templateMessage), { addGenerationPrompt })
  } catch (error) {
    return templateFailed(error)
  }
}
