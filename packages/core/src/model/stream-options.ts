/** Makes and judges the configuration of streams: which choices go together, and which the released format knows. */
import { usageError } from '../errors.ts'
import { aggregations, merges, type ParscaleConfig, type StreamInput, streamInputs } from './config.ts'

/** The choices for P streams; what is not given is as published (smoothing: the best of the paper's ablation). */
export type ParscaleOptions = Pick<ParscaleConfig, 'n'> &
  Partial<Omit<ParscaleConfig, 'input'>> & {
    /** One kind or several. Default: prefix; of P = 1: none. */
    readonly input?: StreamInput | readonly StreamInput[]
  }

const published = { nTokens: 48, loraRank: 8, attnSmooth: 0.1 }

/**
 * A complete configuration. P = 1 is the plain model unless `input` is given. Numbers that belong to another choice (a
 * rank, where the input is a prefix) are taken out.
 *
 * @throws usage error for values out of range, P > 1 with nothing to tell streams apart, or a gate without a prefix
 */
export function parscaleConfig(options: ParscaleOptions): ParscaleConfig {
  const { n } = options
  const { gate = false } = options
  const asked = [options.input ?? (n === 1 ? [] : 'prefix')].flat()
  const input = streamInputs.filter((kind) => asked.includes(kind))
  const aggregation = n === 1 ? 'average' : (options.aggregation ?? 'dynamic')
  const merge = n === 1 ? 'hidden' : (options.merge ?? 'hidden')
  const config: ParscaleConfig = {
    n,
    input,
    nTokens: input.includes('prefix') ? (options.nTokens ?? published.nTokens) : 0,
    gate,
    loraRank: input.includes('lora') ? (options.loraRank ?? published.loraRank) : 0,
    ownWindow: n === 1 ? null : (options.ownWindow ?? null),
    aggregation,
    merge,
    attnSmooth: aggregation === 'average' ? 0 : (options.attnSmooth ?? published.attnSmooth),
  }
  const refuse = (flag: string, what: string, expected: unknown, found: unknown) => {
    throw usageError(`streams: ${what}, got ${JSON.stringify(found)}`, { flag, expected, found })
  }
  const { nTokens, loraRank, ownWindow, attnSmooth } = config
  if (!(Number.isSafeInteger(n) && n >= 1)) refuse('p', 'P must be a whole number of at least 1', 1, n)
  const strange = asked.find((kind) => !streamInputs.includes(kind))
  if (strange !== undefined)
    refuse('input', `what tells streams apart must be of ${streamInputs.join(', ')}`, streamInputs, strange)
  const twice = asked.find((kind, i) => asked.indexOf(kind) < i)
  if (twice !== undefined) refuse('input', 'what tells streams apart is named once each', input, twice)
  if (!aggregations.includes(aggregation))
    refuse('aggregation', `the aggregation must be one of ${aggregations.join(', ')}`, aggregations, aggregation)
  if (!merges.includes(merge)) refuse('merge', `what is mixed must be one of ${merges.join(', ')}`, merges, merge)
  if (n > 1 && input.length === 0)
    refuse(
      'input',
      `P = ${n} streams that nothing tells apart would all be the same; choose of ${streamInputs.join(', ')}`,
      'prefix',
      input,
    )
  if (!(Number.isSafeInteger(nTokens) && nTokens >= 0))
    refuse('nTokens', 'the prefix must have a whole number of tokens', 0, nTokens)
  if (input.includes('lora') && !(Number.isSafeInteger(loraRank) && loraRank >= 1))
    refuse('loraRank', 'the rank must be a whole number of at least 1', 1, loraRank)
  if (ownWindow !== null && !(Number.isSafeInteger(ownWindow) && ownWindow >= 1))
    refuse(
      'ownWindow',
      'the window of own keys and values must be a whole number of at least 1, as each token sees itself',
      1,
      ownWindow,
    )
  if (gate && !input.includes('prefix'))
    refuse('gate', 'a gate opens and closes a prefix, so prefix must be among what tells streams apart', 'prefix', input)
  if (gate && nTokens === 0) refuse('nTokens', 'a gate needs a prefix of at least one token', 1, nTokens)
  if (!(attnSmooth >= 0 && attnSmooth <= 1)) refuse('attnSmooth', 'smoothing must lie between 0 and 1', [0, 1], attnSmooth)
  return config
}

/** Whether there is anything beside the backbone: true for P = 1 with an input transformation, too. */
export const hasStreams = ({ parscale }: { readonly parscale: ParscaleConfig }): boolean => parscale.input.length > 0

/** Whether the reference implementation, which knows none of the other choices, gives the same numbers. */
export const isReferenceFormat = ({ n, input, gate, ownWindow, aggregation, merge }: ParscaleConfig): boolean =>
  input.length === 0 ||
  (n > 1 && input.join() === 'prefix' && !gate && ownWindow === null && aggregation === 'dynamic' && merge === 'hidden')
