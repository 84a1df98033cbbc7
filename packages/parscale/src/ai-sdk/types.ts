/**
 * What we read and write of the AI SDK's specification, in both its versions in use: `v4` of `ai` 7 and `v3` of `ai` 6. Written out, so that
 * our types need neither version installed; a test holds them against those of `@ai-sdk/provider`.
 */
export type Specification = 'v3' | 'v4'

export type Part =
  | { readonly type: 'text' | 'reasoning'; readonly text: string }
  | { readonly type: 'tool-call'; readonly toolCallId: string; readonly toolName: string; readonly input: unknown }
  | { readonly type: 'tool-result'; readonly toolCallId: string; readonly toolName: string; readonly output: ToolOutput }
  | { readonly type: 'file' | 'reasoning-file' | 'custom' | 'tool-approval-response' }

export type ToolOutput =
  | { readonly type: 'text' | 'error-text'; readonly value: string }
  | { readonly type: 'json' | 'error-json'; readonly value: unknown }
  | { readonly type: 'execution-denied'; readonly reason?: string }
  | { readonly type: 'content'; readonly value: readonly { readonly type: string; readonly text?: string }[] }

export type Message =
  | { readonly role: 'system'; readonly content: string }
  | { readonly role: 'user' | 'assistant' | 'tool'; readonly content: readonly Part[] }

export type Tool =
  | { readonly type: 'function'; readonly name: string; readonly description?: string; readonly inputSchema: object }
  | { readonly type: 'provider'; readonly id: string; readonly name: string }

type ProviderOptions = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export interface CallOptions {
  readonly prompt: readonly Message[]
  readonly maxOutputTokens?: number
  readonly temperature?: number
  readonly stopSequences?: string[]
  readonly topP?: number
  readonly topK?: number
  readonly presencePenalty?: number
  readonly frequencyPenalty?: number
  readonly responseFormat?:
    | { readonly type: 'text' }
    | { readonly type: 'json'; readonly schema?: object; readonly name?: string }
  readonly seed?: number
  readonly tools?: readonly Tool[]
  readonly toolChoice?: { readonly type: 'auto' | 'none' | 'required' } | { readonly type: 'tool'; readonly toolName: string }
  readonly includeRawChunks?: boolean
  readonly abortSignal?: AbortSignal
  /** Of `v4`. */
  readonly reasoning?: string
  readonly providerOptions?: ProviderOptions
}

export type Warning = { type: 'unsupported'; feature: string; details?: string } | { type: 'other'; message: string }

export interface FinishReason {
  unified: 'stop' | 'length' | 'tool-calls'
  raw: string
}

export interface Usage {
  inputTokens: { total: number; noCache: number; cacheRead: number; cacheWrite: undefined }
  outputTokens: { total: number; text: undefined; reasoning: undefined }
}

/** What a stream would have said alone. */
export type StreamChoice = { id: number; token: string; logprob: number }

/** `p`: streams that were used. With `streams` asked for: of each token, each stream's weight and its own choice. */
export type ProviderMetadata = { parscale: { p: number; streams?: number[][]; streamChoices?: StreamChoice[][] } }

export interface ToolCall {
  type: 'tool-call'
  toolCallId: string
  toolName: string
  /** JSON. */
  input: string
}

export type Content = { type: 'text' | 'reasoning'; text: string } | ToolCall

interface ResponseMetadata {
  id: string
  timestamp: Date
  modelId: string
}

export interface GenerateResult {
  content: Content[]
  finishReason: FinishReason
  usage: Usage
  providerMetadata: ProviderMetadata
  request: { body: unknown }
  response: ResponseMetadata & { body: unknown }
  warnings: Warning[]
}

export type StreamPart =
  | { type: 'stream-start'; warnings: Warning[] }
  | ({ type: 'response-metadata' } & ResponseMetadata)
  | { type: 'text-start' | 'text-end' | 'reasoning-start' | 'reasoning-end'; id: string }
  | { type: 'text-delta' | 'reasoning-delta'; id: string; delta: string }
  | { type: 'tool-input-start'; id: string; toolName: string }
  | { type: 'tool-input-delta'; id: string; delta: string }
  | { type: 'tool-input-end'; id: string }
  | ToolCall
  | { type: 'raw'; rawValue: unknown }
  | { type: 'finish'; finishReason: FinishReason; usage: Usage; providerMetadata: ProviderMetadata }

export interface StreamResult {
  stream: ReadableStream<StreamPart>
  request: { body: unknown }
}

export interface LanguageModel<V extends Specification> {
  readonly specificationVersion: V
  readonly provider: string
  readonly modelId: string
  /** None: the model reads texts. */
  readonly supportedUrls: Record<string, RegExp[]>
  doGenerate(options: CallOptions): Promise<GenerateResult>
  doStream(options: CallOptions): Promise<StreamResult>
}

export interface EmbedOptions {
  readonly values: readonly string[]
  readonly dimensions?: number
  readonly abortSignal?: AbortSignal
  readonly providerOptions?: ProviderOptions
}

export interface EmbedResult {
  embeddings: number[][]
  usage: { tokens: number }
  providerMetadata: ProviderMetadata
  warnings: Warning[]
}

export interface EmbeddingModel<V extends Specification> {
  readonly specificationVersion: V
  readonly provider: string
  readonly modelId: string
  readonly maxEmbeddingsPerCall: number
  readonly supportsParallelCalls: boolean
  doEmbed(options: EmbedOptions): Promise<EmbedResult>
}
