/** Which requests take part in the next step, and with how many of their ids: a pure function of what each still has to compute. */
import type { Decoder } from '../runtime/index.ts'

/** What the plan must know of a request. */
export interface Plannable {
  /** Rows: the streams of its sequence. */
  readonly p: number
  /** Ids still to compute, at least one. */
  readonly left: number
  /** Rows of logits that the next `count` ids need. One id less needs one row less at least, or as few. */
  logits(count: number): number
}

export interface StepLimits {
  /** Rows times tokens of a step; one id of one request is always allowed. */
  readonly rowTokens: number
  /** Of these, how many may be prompts' where others generate: a step with many takes long. 0: none. Only where lengths mix. */
  readonly promptTokensBeside: number
  /** Rows of logits that a step may make; one id of one request is always allowed. */
  readonly logits: number
  /** Whether rows of different length cost only their own tokens, see Decoder. */
  readonly ragged: Decoder['ragged']
}

/**
 * Takes requests in their order, each with as many ids as the budget leaves.
 *
 * A decoder that pads makes every row as long as the longest, so there one id never stands beside many, and at least half of
 * the padded step must be real tokens.
 */
export function planStep<T extends Plannable>(requests: readonly T[], limits: StepLimits): { request: T; count: number }[] {
  const { rowTokens, ragged } = limits
  let beside = ragged && requests.some(({ left }) => left === 1) ? limits.promptTokensBeside : rowTokens
  const chosen: { request: T; count: number }[] = []
  let [rows, longest, tokens, logits] = [0, 0, 0, 0]
  for (const request of requests) {
    const { p, left } = request
    const first = chosen.length === 0
    if (!first && !ragged && left > 1 !== chosen[0]!.request.left > 1) continue
    const room = Math.floor(ragged ? (rowTokens - tokens) / p : rowTokens / (rows + p))
    let count = Math.min(left, first ? Math.max(1, room) : room)
    // One id at least: else prompts with many rows would wait as long as anybody generates.
    if (left > 1 && beside > 0) count = Math.min(count, Math.max(1, Math.floor(beside / p)))
    else if (left > 1) continue
    count -= Math.max(0, logits + request.logits(count) - limits.logits)
    // Who is alone runs, whatever it needs.
    if (first) count = Math.max(1, count)
    if (count < 1) continue
    const padded = (rows + p) * Math.max(longest, count)
    if (!first && !ragged && (padded > rowTokens || padded > 2 * (tokens + p * count))) continue
    chosen.push({ request, count })
    if (left > 1) beside -= p * count
    ;[rows, longest] = [rows + p, Math.max(longest, count)]
    ;[tokens, logits] = [tokens + p * count, logits + request.logits(count)]
  }
  return chosen
}
