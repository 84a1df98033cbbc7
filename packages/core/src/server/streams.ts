/** How many streams a request gets: what it asks for, or, by load, what the operator allows. */
import type { TextModel } from '../generation/index.ts'
import { invalid } from './errors.ts'

export interface StreamPolicy {
  /** For requests that say nothing. Default: the model's largest. */
  readonly p?: number | 'auto'
  /** Bounds of "auto". Default: all that the model has. */
  readonly range?: readonly [least: number, most: number]
  /** Rows that "auto" shares out among the texts of all requests: so many cost little more than one. Default: 8. */
  readonly autoRows?: number
}

/** @param texts of this model that are asked for, this request's included */
export function chooseStreams(
  { model }: Pick<TextModel, 'model'>,
  asked: number | 'auto' | undefined,
  texts: number,
  { p: usual, range: [least, most] = [1, Infinity], autoRows = 8 }: StreamPolicy,
): number {
  const wanted = asked ?? usual ?? model.defaultP
  const available = model.availableP
  if (wanted !== 'auto') {
    if (available.includes(wanted)) return wanted
    throw invalid(
      `P = ${wanted}: this model has no such stream set; it has P = ${available.join(', ')}`,
      'parscale.p',
      'unsupported_value',
    )
  }
  const allowed = available.filter((p) => p >= least && p <= most)
  const share = autoRows / Math.max(1, texts)
  return allowed.filter((p) => p <= share).at(-1) ?? allowed[0] ?? available[0]!
}
