/** One line of JSON for each request, nothing of what was said in it, and few writes for many lines. */
import type { RequestRecord } from '@parscale/core/internal/server'

const ms = (value: number) => Math.round(value * 10) / 10

export function logLine(record: RequestRecord): string {
  const { id, method, path, status, model, p, error, numbers, started } = record
  const { promptTokens, cachedTokens, generatedTokens, firstTokenMs } = numbers
  return `${JSON.stringify({
    ...{ time: new Date().toISOString(), id, method, path, status, model, p, error },
    ...(promptTokens > 0 && { prompt_tokens: promptTokens, cached_tokens: cachedTokens, completion_tokens: generatedTokens }),
    ...(firstTokenMs !== undefined && { first_token_ms: ms(firstTokenMs) }),
    ms: ms(performance.now() - started),
  })}\n`
}

/** Lines that come in one turn of the event loop, as those of answers that end with one step, are one write. */
export function gatherLines(write: (text: string) => void): { log(line: string): void; flush(): void } {
  let held = ''
  const flush = () => {
    const text = held
    held = ''
    if (text !== '') write(text)
  }
  return {
    log(line) {
      if (held === '') setImmediate(flush)
      held += line
    },
    flush,
  }
}
