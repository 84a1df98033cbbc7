/** From tokens to pieces of text: whole characters only, cut before the first stop string. */
import type { Tokenizer } from '../tokenizer/index.ts'
import type { TokenLogprob } from './log-probabilities.ts'
import type { GeneratedToken } from './request.ts'
import { createStopMatcher } from './stop-strings.ts'

/** A generated token: id, text, natural log-probability and stream weights [P]. */
export interface TextToken {
  readonly id: number
  readonly text: string
  readonly logProbability: number
  /** With `topLogprobs`: the most probable tokens in its place, best first. */
  readonly topLogprobs?: readonly (TokenLogprob & { readonly text: string })[]
  /** [P] */
  readonly streamWeights: readonly number[]
  /** With `streamChoices`: each stream's own most probable token, [P]. */
  readonly streamChoices?: readonly (TokenLogprob & { readonly text: string })[]
}

/** A piece of text as it becomes certain, with the tokens that were sampled since the last piece. */
export interface TextChunk {
  readonly text: string
  readonly tokens: readonly TextToken[]
}

/** One that nobody has read yet. */
export interface HeldChunk extends TextChunk {
  text: string
  readonly tokens: TextToken[]
}

/** Puts the second behind the first, which changes: a reader who never reads would else cost all its tokens at each of them. */
export function joinChunks(a: HeldChunk, b: TextChunk): HeldChunk {
  a.text += b.text
  for (const token of b.tokens) a.tokens.push(token)
  return a
}

/** The text of one generation, as it grows. */
export class TextPieces {
  text = ''
  readonly tokens: TextToken[] = []
  stopString: string | null = null
  readonly #tokenizer: Tokenizer
  readonly #decoder: ReturnType<Tokenizer['streamDecoder']>
  readonly #stops: ReturnType<typeof createStopMatcher>
  readonly #emit: (chunk: HeldChunk) => void
  readonly #shown: ReadonlySet<number>
  /** How many of the tokens were given out. */
  #given = 0

  /**
   * @param promptIds what the text continues: its first space is one, where a text's own would be dropped
   * @param emit is given every piece, to keep
   * @param shown special tokens that stand in the text as they are spelled
   */
  constructor(
    tokenizer: Tokenizer,
    promptIds: readonly number[],
    stop: readonly string[],
    emit: (chunk: HeldChunk) => void,
    shown: readonly number[] = [],
  ) {
    this.#tokenizer = tokenizer
    this.#decoder = tokenizer.streamDecoder({ skipSpecial: true, after: promptIds })
    this.#stops = createStopMatcher(stop)
    this.#emit = emit
    this.#shown = new Set(shown)
  }

  /** Returns whether a stop string has ended the text. */
  push(token: GeneratedToken): boolean {
    this.tokens.push(textToken(this.#tokenizer, token))
    this.#match(
      this.#shown.has(token.id) ? this.#decoder.flush() + this.#tokenizer.tokenText(token.id) : this.#decoder.push(token.id),
    )
    return this.stopString !== null
  }

  /** The last piece: what was held back, and tokens without text. */
  end(): void {
    if (this.stopString === null) this.#match(this.#decoder.flush())
    if (this.stopString === null) this.#give(this.#stops.flush())
    if (this.#given < this.tokens.length) this.#give('', true)
  }

  #match(text: string): void {
    const matched = this.#stops.push(text)
    this.stopString = matched.stopped
    this.#give(matched.text)
  }

  #give(text: string, always = false): void {
    if (text.length === 0 && !always) return
    this.text += text
    this.#emit({ text, tokens: this.tokens.slice(this.#given) })
    this.#given = this.tokens.length
  }
}

export function textToken(tokenizer: Tokenizer, token: GeneratedToken): TextToken {
  const { id, logProbability, streamWeights } = token
  const text = (id: number) => tokenizer.tokenText(id)
  const withText = (one: TokenLogprob) => ({ ...one, text: text(one.id) })
  const top = token.topLogprobs.map(withText)
  return {
    id,
    text: text(id),
    logProbability,
    ...(top.length > 0 && { topLogprobs: top }),
    streamWeights: [...streamWeights],
    ...(token.streamChoices && { streamChoices: token.streamChoices.map(withText) }),
  }
}
