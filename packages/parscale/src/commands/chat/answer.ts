/** One turn: the answer as it comes, and what it took. */
import type { TextResult } from '@parscale/core/internal/generation'
import { forTerminal, type Io } from '../../terminal/io.ts'
import { counted } from '../../terminal/quantity.ts'
import { streamBlocks, streamLegend } from '../../terminal/stream-colors.ts'
import { type SamplingFlags, textOptions } from '../options.ts'
import type { Conversation } from './conversation.ts'

export interface AnswerOptions {
  readonly flags: SamplingFlags
  readonly signal: AbortSignal
  /** A line of JSON instead of text. */
  readonly json?: boolean | undefined
  readonly streams?: boolean | undefined
  /** Says afterwards how fast it was. */
  readonly figures?: boolean | undefined
  /** Called before it says that the answer is whole. */
  readonly over?: (() => Promise<void>) | undefined
}

export async function answer(io: Io, conversation: Conversation, message: string, options: AnswerOptions): Promise<void> {
  const { flags, signal, json, streams, figures } = options
  const { p, cachedTokens } = conversation
  const progress = io.progress('reading', 'tokens')
  const settings = { ...textOptions(flags, signal), onPrefill: (done: number, total: number) => progress.update(done, total) }
  const paint = streams && !json && p > 1 ? streamBlocks(p, io.color) : undefined
  const started = performance.now()
  const stream = conversation.send(message, settings)
  let next = await stream.next().finally(() => progress.end())
  const first = performance.now()
  if (paint) io.stderr(`${streamLegend(p, io.color)}\n`)
  for (; !next.done; next = await stream.next()) {
    if (json) continue
    const { text, tokens } = next.value
    io.stdout(
      paint ? tokens.map((token) => paint(forTerminal(token.text, io), token.streamWeights)).join('') : forTerminal(text, io),
    )
  }
  const result = next.value
  const decodeMs = performance.now() - first
  await options.over?.()
  io.stdout(json ? `${JSON.stringify({ message, seed: settings.seed, ...result, cachedTokens })}\n` : '\n')
  const line = spent(result, p, decodeMs)
  if (figures) io.stderr(io.color && io.isTTY.stderr ? `\u001b[2m[${line}]\u001b[0m\n` : `[${line}]\n`)
  io.detail?.(`[${computed(result, { cachedTokens, seed: settings.seed, prefillMs: first - started })}]\n`)
}

function spent({ tokens }: TextResult, p: number, decodeMs: number): string {
  const n = tokens.length
  const rate = n > 1 && decodeMs > 0 ? [`${(((n - 1) * 1000) / decodeMs).toFixed(1)} tokens/s`] : []
  return [counted(n, 'token'), ...rate, `P = ${p}`].join(', ')
}

const computed = (
  { promptTokens, finishReason }: TextResult,
  { cachedTokens, seed, prefillMs }: { cachedTokens: number; seed: number; prefillMs: number },
): string =>
  `${counted(promptTokens, 'prompt token')} in ${prefillMs.toFixed(0)} ms, ${Math.min(cachedTokens, promptTokens)} of them in the cache; seed ${seed}; ended by ${finishReason}`
