/** Answers of the OpenAI API as the AI SDK's content and parts of a stream. */
import type {
  Content,
  FinishReason,
  GenerateResult,
  ProviderMetadata,
  StreamChoice,
  StreamPart,
  ToolCall,
  Usage,
  Warning,
} from './types.ts'

interface ApiUsage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly prompt_tokens_details: { readonly cached_tokens: number }
}

interface Head {
  readonly id: string
  readonly created: number
  readonly model: string
}

type ApiReason = 'stop' | 'length' | 'tool_calls'

/** What we read of `chat.completion`. */
export interface ChatAnswer extends Head {
  readonly choices: readonly {
    readonly message: {
      readonly content: string | null
      readonly reasoning?: string
      readonly tool_calls?: readonly {
        readonly id: string
        readonly function: { readonly name: string; readonly arguments: string }
      }[]
    }
    readonly finish_reason: ApiReason
  }[]
  readonly usage: ApiUsage
  readonly parscale: { readonly p: number; readonly streams?: number[][][]; readonly stream_choices?: StreamChoice[][][] }
}

/** What we read of `chat.completion.chunk`; an error may come in its place. */
export interface ChatChunk extends Head {
  readonly choices: readonly {
    readonly delta: {
      readonly content?: string
      readonly reasoning?: string
      readonly tool_calls?: readonly {
        readonly id?: string
        readonly function: { readonly name?: string; readonly arguments?: string }
      }[]
    }
    readonly finish_reason: ApiReason | null
    readonly parscale?: { readonly streams: number[][]; readonly stream_choices: StreamChoice[][] }
  }[]
  readonly usage?: ApiUsage
  readonly parscale: { readonly p: number }
}

const reasonOf = (raw: ApiReason): FinishReason => ({ unified: raw === 'tool_calls' ? 'tool-calls' : raw, raw })

function usageOf({
  prompt_tokens: total,
  completion_tokens,
  prompt_tokens_details: { cached_tokens: cacheRead },
}: ApiUsage): Usage {
  return {
    inputTokens: { total, noCache: total - cacheRead, cacheRead, cacheWrite: undefined },
    outputTokens: { total: completion_tokens, text: undefined, reasoning: undefined },
  }
}

const metadataOf = ({ id, created, model }: Head) => ({ id, timestamp: new Date(1000 * created), modelId: model })

const toolCall = (toolCallId: string, toolName: string, input: string): ToolCall => ({
  ...{ type: 'tool-call', toolCallId, toolName },
  // A tool without parameters may be called with nothing.
  input: input === '' ? '{}' : input,
})

const providerMetadata = (p: number, streams?: number[][], streamChoices?: StreamChoice[][]): ProviderMetadata => ({
  parscale: { p, ...(streams && { streams }), ...(streamChoices && { streamChoices }) },
})

export function generateResult(answer: ChatAnswer, request: unknown, warnings: Warning[]): GenerateResult {
  const { message, finish_reason } = answer.choices[0]!
  const { p, streams, stream_choices } = answer.parscale
  const content: Content[] = [
    { type: 'reasoning' as const, text: message.reasoning ?? '' },
    { type: 'text' as const, text: message.content ?? '' },
  ].filter(({ text }) => text !== '')
  const calls = (message.tool_calls ?? []).map(({ id, function: called }) => toolCall(id, called.name, called.arguments))
  return {
    content: [...content, ...calls],
    finishReason: reasonOf(finish_reason),
    usage: usageOf(answer.usage),
    providerMetadata: providerMetadata(p, streams?.[0], stream_choices?.[0]),
    request: { body: request },
    response: { ...metadataOf(answer), body: answer },
    warnings,
  }
}

/** Texts, reasoning and calls begin and end by name; one of them is open at a time. */
export async function* streamParts(
  chunks: AsyncIterable<ChatChunk>,
  { warnings, raw }: { warnings: Warning[]; raw: boolean },
): AsyncGenerator<StreamPart> {
  yield { type: 'stream-start', warnings }
  let begun = false
  let open: { type: 'text' | 'reasoning'; id: string } | { type: 'call'; id: string; name: string; input: string } | undefined
  let texts = 0
  let [reason, usage, p]: [ApiReason, ApiUsage | undefined, number] = ['stop', undefined, 1]
  const [streams, choices]: [number[][], StreamChoice[][]] = [[], []]

  function* close(): Generator<StreamPart> {
    if (open?.type === 'call') {
      yield { type: 'tool-input-end', id: open.id }
      yield toolCall(open.id, open.name, open.input)
    } else if (open) yield { type: `${open.type}-end`, id: open.id }
    open = undefined
  }
  function* say(type: 'text' | 'reasoning', delta = ''): Generator<StreamPart> {
    if (delta === '') return
    if (open?.type !== type) {
      yield* close()
      open = { type, id: `${type}-${texts++}` }
      yield { type: `${type}-start`, id: open.id }
    }
    yield { type: `${type}-delta`, id: open.id, delta }
  }

  for await (const chunk of chunks) {
    if (raw) yield { type: 'raw', rawValue: chunk }
    if (!begun) yield { type: 'response-metadata', ...metadataOf(chunk) }
    begun = true
    p = chunk.parscale.p
    usage = chunk.usage ?? usage
    for (const { delta, finish_reason, parscale } of chunk.choices) {
      reason = finish_reason ?? reason
      streams.push(...(parscale?.streams ?? []))
      choices.push(...(parscale?.stream_choices ?? []))
      yield* say('reasoning', delta.reasoning)
      yield* say('text', delta.content)
      for (const { id, function: called } of delta.tool_calls ?? []) {
        if (id !== undefined) {
          yield* close()
          open = { type: 'call', id, name: called.name!, input: '' }
          yield { type: 'tool-input-start', id, toolName: open.name }
        }
        if (open?.type !== 'call' || !called.arguments) continue
        open.input += called.arguments
        yield { type: 'tool-input-delta', id: open.id, delta: called.arguments }
      }
    }
  }
  yield* close()
  const about = streams.length === 0 ? providerMetadata(p) : providerMetadata(p, streams, choices)
  yield { type: 'finish', finishReason: reasonOf(reason), usage: usageOf(usage!), providerMetadata: about }
}
