/** Makes and judges the configuration of streams: which choices go together, and which the released format knows. */
import { usageError } from '../errors.ts'
import { aggregations, type ParscaleConfig, streamInputs } from './config.ts'

/** The choices for P streams; what is not given is as published (smoothing: the best of the paper's ablation). */
export type ParscaleOptions = Pick<ParscaleConfig, 'n'> & Partial<ParscaleConfig>

const published = { nTokens: 48, loraRank: 8, attnSmooth: 0.1 }

/**
 * A complete configuration. P = 1 is the plain model unless `input` is given. Numbers that belong to another choice (a
 * rank, where the input is a prefix) are taken out.
 *
 * @throws usage error for values out of range, P > 1 with nothing to tell streams apart, or a gate without a prefix
 */
export function parscaleConfig(options: ParscaleOptions): ParscaleConfig {
  const { n } = options
  const { input = n === 1 ? 'none' : 'prefix', gate = false } = options
  const aggregation = n === 1 ? 'average' : (options.aggregation ?? 'dynamic')
  const config: ParscaleConfig = {
    n,
    input,
    nTokens: input === 'prefix' ? (options.nTokens ?? published.nTokens) : 0,
    gate,
    loraRank: input === 'lora' ? (options.loraRank ?? published.loraRank) : 0,
    aggregation,
    attnSmooth: aggregation === 'average' ? 0 : (options.attnSmooth ?? published.attnSmooth),
  }
  const refuse = (flag: string, what: string, expected: unknown, found: unknown) => {
    throw usageError(`streams: ${what}, got ${JSON.stringify(found)}`, { flag, expected, found })
  }
  const { nTokens, loraRank, attnSmooth } = config
  if (!(Number.isSafeInteger(n) && n >= 1)) refuse('p', 'P must be a whole number of at least 1', 1, n)
  if (!streamInputs.includes(input)) refuse('input', `the input must be one of ${streamInputs.join(', ')}`, streamInputs, input)
  if (!aggregations.includes(aggregation))
    refuse('aggregation', `the aggregation must be one of ${aggregations.join(', ')}`, aggregations, aggregation)
  if (n > 1 && input === 'none')
    refuse(
      'input',
      `P = ${n} streams without an input transformation would all be the same; choose prefix, lora or bitfit`,
      'prefix',
      input,
    )
  if (!(Number.isSafeInteger(nTokens) && nTokens >= 0))
    refuse('nTokens', 'the prefix must have a whole number of tokens', 0, nTokens)
  if (input === 'lora' && !(Number.isSafeInteger(loraRank) && loraRank >= 1))
    refuse('loraRank', 'the rank must be a whole number of at least 1', 1, loraRank)
  if (gate && input !== 'prefix')
    refuse('gate', 'a gate opens and closes a prefix, so the input must be "prefix"', 'prefix', input)
  if (gate && nTokens === 0) refuse('nTokens', 'a gate needs a prefix of at least one token', 1, nTokens)
  if (!(attnSmooth >= 0 && attnSmooth <= 1)) refuse('attnSmooth', 'smoothing must lie between 0 and 1', [0, 1], attnSmooth)
  return config
}

/** Whether there is anything beside the backbone: true for P = 1 with an input transformation, too. */
export const hasStreams = ({ parscale }: { readonly parscale: ParscaleConfig }): boolean => parscale.input !== 'none'

/** Whether the reference implementation, which knows none of the other choices, gives the same numbers. */
export const isReferenceFormat = ({ n, input, gate, aggregation }: ParscaleConfig): boolean =>
  input === 'none' || (n > 1 && input === 'prefix' && !gate && aggregation === 'dynamic')
