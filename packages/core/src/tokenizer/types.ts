/** What the rest of the house knows of tokenizers and chat templates. Token ids are plain numbers, texts plain strings. */

export interface EncodeOptions {
  /** Recognise special tokens spelled in the text. Default false: `<|im_end|>` in a text is then ten ordinary characters. */
  readonly allowSpecial?: boolean
  /** Add what the tokenizer's post-processor adds (a BOS token, for some). Default true. */
  readonly addSpecial?: boolean
  /** Which of the spellings that `allowSpecial` finds count, by where they are (UTF-16 units). All by default. */
  readonly isSpecial?: (start: number, end: number) => boolean
  /**
   * Tokens that the model takes. A text that cannot fit is a usage error before all of it is encoded: when it is longer than so
   * many tokens of the vocabulary's longest, or has four times as many already.
   */
  readonly context?: number
  /** How the text is called where it cannot fit, and what to do. Default: the prompt, shorten it. */
  readonly overlong?: { readonly what: string; readonly advice: string }
}

export interface LongEncodeOptions extends EncodeOptions {
  /** Ends the encoding with the signal's reason. */
  readonly signal?: AbortSignal
}

export interface DecodeOptions {
  /** Leave special tokens out of the text. Default false. */
  readonly skipSpecial?: boolean
}

export interface StreamDecodeOptions extends DecodeOptions {
  /**
   * Ids that the text continues, a prompt's. What is streamed is `decode([...after, ...ids])` without `decode(after)`: a
   * SentencePiece tokenizer drops the first space of a text, which is none where a text goes on.
   */
  readonly after?: readonly number[]
}

/** Turns ids into text as they arrive. */
export interface StreamDecoder {
  /** Text that is certain after this id: whole characters only, possibly none. */
  push(id: number): string
  /** What is left at the end: bytes of an unfinished character become U+FFFD. The decoder then starts anew. */
  flush(): string
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** One more than the largest id. A model's embedding may have more rows than this. */
  readonly vocabSize: number
  readonly bosTokenId: number | null
  /** From the tokenizer's files; the model's configuration may name more. */
  readonly eosTokenIds: readonly number[]
  /** The spellings that `allowSpecial` recognises. */
  readonly specialTokens: readonly string[]
  /** Ordinary added tokens are found as they are written, whatever stands beside them. */
  readonly addedTokensStandAlone: boolean
  /** Lone surrogates in `text` are read as U+FFFD, as any UTF-8 encoder does. */
  encode(text: string, options?: EncodeOptions): number[]
  /** The same ids, but lets the event loop run now and then, and can be aborted. */
  encodeLong(text: string, options?: LongEncodeOptions): Promise<number[]>
  /** Ids that the vocabulary does not have stand for no text (a model's padded rows). */
  decode(ids: readonly number[], options?: DecodeOptions): string
  streamDecoder(options?: StreamDecodeOptions): StreamDecoder
  /** One token for display: bytes that are no whole character appear as `<0xE2>`. Empty for an id without a token. */
  tokenText(id: number): string
  /** One token's bytes within a text, possibly a part of a character. Undefined for an id without a token. */
  tokenBytes(id: number): Uint8Array | undefined
  /** Tokens that are found before text is cut into words: special ones, and others. */
  readonly addedTokens: readonly { readonly id: number; readonly content: string; readonly isSpecial: boolean }[]
  idOf(token: string): number | undefined
  isSpecial(id: number): boolean
}

/** A tokenizer's files, parsed where they are JSON. */
export interface TokenizerFiles {
  readonly tokenizerJson: unknown
  readonly tokenizerConfig?: unknown
  /** Text of chat_template.jinja. It goes before tokenizer_config.json's `chat_template`. */
  readonly chatTemplate?: string
}

/** One turn. Fields beside these two (tool_calls, name, ...) reach the template as they are. */
export interface ChatMessage {
  readonly role: string
  readonly content: string
  readonly [field: string]: unknown
}

export interface ChatRenderOptions {
  /** End with the opening of the assistant's next turn. Default false. */
  readonly addGenerationPrompt?: boolean
  /** Further variables of the template: `tools`, `documents`, `enable_thinking`, ... */
  readonly variables?: Readonly<Record<string, unknown>>
}

export interface ChatEncodeOptions extends ChatRenderOptions {
  /** Let special tokens spelled in messages and variables count as such. Default false. */
  readonly allowSpecial?: boolean
}

/** `context` and `overlong` as of EncodeOptions; `signal` ends the encoding with its reason. */
export interface LongChatEncodeOptions extends ChatEncodeOptions, Pick<LongEncodeOptions, 'context' | 'overlong' | 'signal'> {}

/** Renders conversations as a model was trained on them. */
export interface ChatTemplate {
  /** The template itself, as the model's files have it; of several, the default one. */
  readonly source: string
  /** Ids of the whole conversation, as `apply_chat_template(tokenize=True)` of transformers gives them. */
  encode(messages: readonly ChatMessage[], options?: ChatEncodeOptions): number[]
  /** The same ids, but lets the event loop run while they are made, and can be aborted. Rendering itself is bounded. */
  encodeLong(messages: readonly ChatMessage[], options?: LongChatEncodeOptions): Promise<number[]>
  /** The conversation as text, as `apply_chat_template(tokenize=False)` gives it. */
  render(messages: readonly ChatMessage[], options?: ChatRenderOptions): string
}
