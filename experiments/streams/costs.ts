/** What a model of the study costs, in three currencies, so that P = 1 of the same cost can be named for each. */
import { type Size, sizes, type Variant } from './cells.ts'
import type { Record } from './records.ts'

/** Context of the study, in bytes; a token attends to half of it on average. */
const context = 64
const vocabulary = 257

export interface Costs {
  /** All numbers that are stored. */
  readonly parameters: number
  /** Multiplications a token, forward: linear layers and attention for each stream, the output embedding once for mixed hidden
   * states and P times for mixed probabilities. What scales and gains multiply is left out: a few per mille. */
  readonly arithmetic: number
  /** Numbers read for one decoded token at the end of the context: all parameters once, keys and values of every stream. */
  readonly traffic: number
}

export const currencies = ['parameters', 'arithmetic', 'traffic'] as const

export function costsOf({
  size,
  p,
  variant,
  parameters,
  args,
}: Pick<Record, 'size' | 'p' | 'variant' | 'parameters' | 'args'>): Costs {
  const { hidden, layers, intermediate } = sizes[size as keyof typeof sizes] as Size
  const linear = layers * (4 * hidden * hidden + 3 * hidden * intermediate)
  const prefix = valueAfter(args, '--streams') === 'prefix' ? Number(valueAfter(args, '--prefix-tokens')) : 0
  const attention = layers * 2 * hidden * (context / 2 + prefix)
  const lora = valueAfter(args, '--streams') === 'lora' ? parameters - sizeParameters(size) : 0 // of all streams together
  const heads = variant.includes('probabilities') ? p : 1
  return {
    parameters,
    arithmetic: p * (linear + attention) + lora + heads * vocabulary * hidden,
    traffic: parameters + p * layers * 2 * hidden * context,
  }
}

const valueAfter = (args: readonly string[], flag: string): string | undefined => args[args.indexOf(flag) + 1]

/** Of P = 1 without anything of a stream: tied embedding, linear layers, gains of norms, biases of q, k and v. */
function sizeParameters(name: string): number {
  const { hidden, layers, intermediate } = sizes[name as keyof typeof sizes] as Size
  return vocabulary * hidden + hidden + layers * (4 * hidden * hidden + 3 * hidden * intermediate + 5 * hidden)
}

export const isPlain = (variant: Pick<Variant, 'name'> | string): boolean =>
  (typeof variant === 'string' ? variant : variant.name) === 'p1'
