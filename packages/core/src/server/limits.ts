/** What one request may ask. Whoever asks for more is told the bound. */
export interface ServerLimits {
  readonly bodyBytes: number
  /** Of the bodies of all requests at a time. Those beyond get a 503. */
  readonly allBodiesBytes: number
  /** Messages, items or tools of a request. */
  readonly items: number
  /** Prompts of one completion or embedding request; with `n`, texts. */
  readonly prompts: number
  readonly n: number
  readonly stops: number
  /** UTF-16 units of all stop strings together. */
  readonly stopCharacters: number
  readonly logitBias: number
  /** Tokens to generate; the end of the context ends a text as well. */
  readonly maxTokens: number
  readonly topLogprobs: number
  /** Requests of a model with texts that have not had a step yet. Those beyond get a 503. */
  readonly queue: number
  /** Milliseconds that a request may have to wait for its first step, as far as can be told; others get a 503 at once. */
  readonly waitMs: number
}

export const defaultLimits: ServerLimits = {
  bodyBytes: 4 * 2 ** 20,
  allBodiesBytes: 256 * 2 ** 20,
  items: 4096,
  prompts: 2048,
  n: 16,
  stops: 16,
  stopCharacters: 4096,
  logitBias: 1024,
  maxTokens: 131_072,
  topLogprobs: 20,
  queue: 256,
  waitMs: Infinity,
}
