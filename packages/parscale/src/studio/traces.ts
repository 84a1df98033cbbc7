/** Traces for a page without a server: what the model wrote, token by token, as the page would have got it. */

/** What the page asks of a trace: the body of a request without what is the same in all of them. */
export interface TraceAsked {
  readonly prompt: string
  readonly p: number
  readonly without: readonly number[]
  readonly seed: number
  readonly temperature: number
  readonly maxTokens: number
}

export interface Trace extends TraceAsked {
  readonly model: string
  /** Chunks of /v1/completions, and the milliseconds at which each came. */
  readonly events: readonly { readonly ms: number; readonly data: unknown }[]
}

const prompts = ['The people of the United States', 'It was a dark and stormy sea, and the captain']
/** Streams are knocked out of the first, which takes as many traces as there are streams. */
const [knockedOut] = prompts
const asked = { seed: 7, temperature: 0.8, maxTokens: 64 }

/** @param fetch of the API */
export async function record(
  fetch: (path: string, init: RequestInit) => Promise<Response>,
  { id, p: all }: { readonly id: string; readonly p: readonly number[] },
  signal: AbortSignal,
): Promise<Trace[]> {
  const largest = all.at(-1)!
  const cases: TraceAsked[] = prompts.flatMap((prompt) => [
    ...all.map((p) => ({ ...asked, prompt, p, without: [] as number[] })),
    ...Array.from({ length: prompt === knockedOut && largest > 1 ? largest : 0 }, (_, i) => ({
      ...asked,
      prompt,
      p: largest,
      without: [i],
    })),
  ])
  const traces: Trace[] = []
  for (const one of cases) {
    const started = performance.now()
    const response = await fetch('/v1/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      signal,
      body: JSON.stringify({
        ...{ model: id, prompt: one.prompt, stream: true, logprobs: 5, seed: one.seed, temperature: one.temperature },
        max_tokens: one.maxTokens,
        parscale: { p: one.p, streams: true, without: one.without },
      }),
    })
    const events: { ms: number; data: unknown }[] = []
    let text = ''
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      text += part
      const whole = text.split('\n\n')
      text = whole.pop()!
      for (const event of whole) {
        const data = event.replace(/^data: /, '')
        if (data !== '[DONE]') events.push({ ms: Math.round(performance.now() - started), data: JSON.parse(data) })
      }
    }
    traces.push({ ...one, model: id, events })
  }
  return traces
}
