/** The AI SDK's options as a request of the OpenAI API. What our server does not do is warned of. */
import { usageError } from '@parscale/core/internal'
import type { ChatRequest } from '@parscale/core/internal/server'
import type { CallOptions, Message, Part, Tool, ToolOutput, Warning } from './types.ts'

/** Fields of `providerOptions.parscale`, and what they are called in the API. */
const ownOptions = {
  minP: 'min_p',
  repetitionPenalty: 'repetition_penalty',
  logitBias: 'logit_bias',
  chatTemplateKwargs: 'chat_template_kwargs',
  reasoningEffort: 'reasoning_effort',
  pooling: 'pooling',
} as const
const isOwn = (name: string): name is keyof typeof ownOptions => name in ownOptions

/** `reasons`: whether the model's template has reasoning. */
export function chatRequest(
  model: string,
  options: CallOptions,
  reasons: boolean,
): { request: Record<string, unknown> & Pick<ChatRequest, 'messages' | 'model'>; warnings: Warning[] } {
  const warnings: Warning[] = []
  const { reasoning = 'provider-default', responseFormat: format, toolChoice } = options
  if (reasoning !== 'provider-default' && !reasons)
    warnings.push({ type: 'unsupported', feature: 'reasoning', details: "the model's chat template has none" })
  const tools = (options.tools ?? []).flatMap((tool) => toolOf(tool, warnings))
  const request = {
    model,
    messages: options.prompt.flatMap(messagesOf),
    max_tokens: options.maxOutputTokens,
    temperature: options.temperature,
    top_p: options.topP,
    top_k: options.topK,
    presence_penalty: options.presencePenalty,
    frequency_penalty: options.frequencyPenalty,
    stop: options.stopSequences,
    seed: options.seed,
    ...(reasons && reasoning !== 'provider-default' && { reasoning_effort: reasoning }),
    ...(format?.type === 'json' && { response_format: formatOf(format) }),
    ...(tools.length > 0 && {
      tools,
      tool_choice: toolChoice?.type === 'tool' ? { type: 'function', function: { name: toolChoice.toolName } } : toolChoice?.type,
    }),
    ...providerFields(options.providerOptions, warnings),
  }
  return { request, warnings }
}

/** Of `providerOptions.parscale`: P, stream weights, and what the AI SDK has no name for. */
export function providerFields(options: CallOptions['providerOptions'], warnings: Warning[]): Record<string, unknown> {
  const { p, streams, ...others } = options?.parscale ?? {}
  const fields: Record<string, unknown> = { parscale: { p, streams } }
  for (const [name, value] of Object.entries(others)) {
    if (isOwn(name)) fields[ownOptions[name]] = value
    else warnings.push({ type: 'other', message: `providerOptions.parscale has no ${JSON.stringify(name)}` })
  }
  return fields
}

const formatOf = ({ schema, name = 'answer' }: { readonly schema?: object; readonly name?: string }) =>
  schema ? { type: 'json_schema', json_schema: { name, schema, strict: true } } : { type: 'json_object' }

function toolOf(tool: Tool, warnings: Warning[]): object[] {
  if (tool.type === 'function') {
    const { name, description, inputSchema: parameters } = tool
    return [{ type: 'function', function: { name, description, parameters } }]
  }
  warnings.push({ type: 'unsupported', feature: `provider-defined tool ${tool.id}` })
  return []
}

/** A turn with the results of several tools is a message for each. */
function messagesOf(message: Message): ChatRequest['messages'] {
  if (message.role === 'system') return [{ role: 'system', content: message.content }]
  const { role, content } = message
  if (role === 'tool')
    return content.flatMap((part) =>
      part.type === 'tool-result'
        ? [{ role, tool_call_id: part.toolCallId, name: part.toolName, content: outputText(part.output) }]
        : [],
    )
  const reasoning = textOf(content, 'reasoning')
  const calls = content.filter((part) => part.type === 'tool-call')
  return [
    {
      role,
      // What is no text goes along, and is refused by name.
      content: content
        .filter(({ type }) => type === 'text' || type.endsWith('file'))
        .map((part) => (part.type === 'text' ? part : { type: part.type })),
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(calls.length > 0 && {
        tool_calls: calls.map(({ toolCallId, toolName, input }) => ({
          id: toolCallId,
          type: 'function',
          function: { name: toolName, arguments: typeof input === 'string' ? input : JSON.stringify(input) },
        })),
      }),
    },
  ]
}

const textOf = (parts: readonly Part[], type: 'text' | 'reasoning') =>
  parts.map((part) => (part.type === type ? part.text : '')).join('')

function outputText(output: ToolOutput): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value)
    case 'execution-denied':
      return output.reason ?? 'the user did not allow this call'
    case 'content':
      return output.value
        .map(({ type, text }) => {
          if (text === undefined) throw usageError(`results of tools are texts or JSON here, not ${JSON.stringify(type)}`)
          return text
        })
        .join('')
  }
}
