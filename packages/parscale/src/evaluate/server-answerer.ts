/** Answers of an OpenAI-compatible server's /completions: scores from the log-probabilities of echoed prompts. */
import { hubError, usageError } from '@parscale/core/internal'
import type { Answer, Answerer, AnswerOptions, Request } from '@parscale/core/internal/evaluation/tasks'

export interface ServerOptions {
  /** Up to /v1. */
  readonly url: string
  readonly model: string
  /** Streams, for a server of ours. */
  readonly p?: number | undefined
  /** OPENAI_API_KEY is sent where it is set. */
  readonly env: Readonly<Record<string, string | undefined>>
}

interface Logprobs {
  readonly tokens: readonly string[]
  readonly token_logprobs: readonly (number | null)[]
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[] | null
  readonly text_offset: readonly number[]
}

interface Completion {
  readonly text: string
  readonly logprobs?: Logprobs | null
}

export class ServerAnswerer implements Answerer {
  readonly #options: ServerOptions

  constructor(options: ServerOptions) {
    this.#options = options
  }

  answer(requests: readonly Request[], options: AnswerOptions): Promise<readonly Answer[]> {
    return Promise.all(requests.map((request) => this.#one(request, options)))
  }

  async #one(request: Request, { repeats, seed, signal }: AnswerOptions): Promise<Answer> {
    if (request.kind === 'generate_until') {
      const { until, maxTokens, temperature, topP } = request.settings
      const write = async (i: number) => {
        const body = { prompt: request.context, max_tokens: maxTokens, temperature, top_p: topP, seed: seed * repeats + i }
        const { text } = await this.#complete({ ...body, ...(until.length > 0 && { stop: until.slice(0, 4) }) }, signal)
        return until.reduce((left, stop) => (stop === '' ? left : left.split(stop)[0]!), text)
      }
      return { kind: 'generate_until', texts: await Promise.all(Array.from({ length: repeats }, (_, i) => write(i))) }
    }
    const [context, text] = request.kind === 'loglikelihood' ? [request.context, request.continuation] : ['', request.text]
    const bare = context.trimEnd()
    if (bare === '')
      throw usageError(
        'an empty context cannot be scored through a server, which puts nothing before the first token; run the model itself',
      )
    const asked = { prompt: context + text, max_tokens: 1, temperature: 0, echo: true, logprobs: 1 }
    const { logprobs, promptTokens } = await this.#complete(asked, signal)
    if (!logprobs) throw hubError(`${this.#options.url}: the server gives no log-probabilities of prompts (echo with logprobs)`)
    return { kind: 'loglikelihood', ...scored(logprobs, promptTokens, [...(context.slice(bare.length) + text)].length) }
  }

  async #complete(
    body: Record<string, unknown>,
    signal: AbortSignal | undefined,
  ): Promise<Completion & { readonly promptTokens: number }> {
    const { url, model, p, env } = this.#options
    const target = `${url.replace(/\/+$/, '')}/completions`
    let response: Response
    try {
      response = await fetch(target, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(env.OPENAI_API_KEY && { authorization: `Bearer ${env.OPENAI_API_KEY}` }),
        },
        body: JSON.stringify({ model, ...body, ...(p !== undefined && { parscale: { p } }) }),
        ...(signal && { signal }),
      })
    } catch (cause) {
      signal?.throwIfAborted()
      throw hubError(`${target}: no answer; is the server there?`, { cause })
    }
    const text = await response.text()
    if (!response.ok) throw hubError(`${target}: ${response.status} ${text.slice(0, 300)}`, { found: response.status })
    const { choices, usage } = JSON.parse(text) as { choices?: Completion[]; usage?: { prompt_tokens?: number } }
    const [choice] = choices ?? []
    if (!choice || usage?.prompt_tokens === undefined)
      throw hubError(`${target}: the answer has no choices or no usage.prompt_tokens`)
    return { ...choice, promptTokens: usage.prompt_tokens }
  }
}

/**
 * Of the prompt's tokens that begin within its last characters. Servers count characters that lie in several tokens differently, so
 * that places are told from the end.
 */
function scored(logprobs: Logprobs, promptTokens: number, length: number) {
  const { token_logprobs: values, tokens, top_logprobs: tops, text_offset: offsets } = logprobs
  const end = offsets[promptTokens] ?? offsets[promptTokens - 1]! + [...tokens[promptTokens - 1]!].length
  let [logLikelihood, isGreedy] = [0, true]
  for (let i = 1; i < promptTokens; i++) {
    if (offsets[i]! < end - length) continue
    const value = values[i]!
    logLikelihood += value
    const best = Math.max(...Object.values(tops?.[i] ?? { [tokens[i]!]: value }))
    isGreedy &&= value >= best
  }
  return { logLikelihood, isGreedy }
}
