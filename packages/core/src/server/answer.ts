/** What an endpoint hands back: a body, or events. */
import type { TextToken } from '../generation/index.ts'
import type { ServerEvent } from './events.ts'

export type Answer =
  | { readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly events: AsyncGenerator<ServerEvent>; readonly headers?: Readonly<Record<string, string>> }

/** Seconds since the epoch, as OpenAI's objects have them. */
export const now = () => Math.floor(Date.now() / 1000)

/** An id of OpenAI's kind: `chatcmpl-` and 24 characters. */
export const newId = (prefix: string) => `${prefix}${crypto.randomUUID().replaceAll('-', '').slice(0, 24)}`

export const usageOf = (promptTokens: number, completionTokens: number, cachedTokens: number) => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: promptTokens + completionTokens,
  prompt_tokens_details: { cached_tokens: cachedTokens },
})

const utf8 = new TextEncoder()

/** The bytes of a token as it is shown: `<0xE2>` stands for a byte that is no whole character. */
export function tokenBytes(text: string): number[] {
  return text
    .split(/(<0x[0-9A-F]{2}>)/)
    .flatMap((part, i) => (i % 2 ? [Number.parseInt(part.slice(3, 5), 16)] : [...utf8.encode(part)]))
}

/** JSON has no -Infinity: a token that cannot come is as improbable as a double can say. */
export const finiteLogprob = (value: number) => (value === -Infinity ? -9999 : value)

/** The most probable tokens, and the drawn one behind them where it is none of them. */
export function alternatives({ id, text, logProbability, topLogprobs = [] }: TextToken) {
  const drawn = topLogprobs.some((one) => one.id === id) ? [] : [{ id, text, logProbability }]
  return [...topLogprobs, ...drawn]
}

/** Of each token: its id, each stream's weight, and what it would have said alone. */
export const streamsOf = (tokens: readonly TextToken[]) => ({
  token_ids: tokens.map(({ id }) => id),
  streams: tokens.map(({ streamWeights }) => streamWeights.map((weight) => Number(weight.toPrecision(6)))),
  stream_choices: tokens.map(({ streamChoices = [] }) =>
    streamChoices.map(({ id, text, logProbability }) => ({ id, token: text, logprob: finiteLogprob(logProbability) })),
  ),
})

/** The same of several answers. */
export function streamsOfAll(answers: readonly { readonly tokens: readonly TextToken[] }[]) {
  const each = answers.map(({ tokens }) => streamsOf(tokens))
  return {
    token_ids: each.map(({ token_ids }) => token_ids),
    streams: each.map(({ streams }) => streams),
    stream_choices: each.map(({ stream_choices }) => stream_choices),
  }
}
