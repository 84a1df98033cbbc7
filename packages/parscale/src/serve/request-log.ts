/** One line of JSON for each request. Nothing of what was said is in it. */
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
