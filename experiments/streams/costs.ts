/** What a model of the study costs, in three currencies, so that P = 1 of the same cost can be named for each. */
import { type Size, sizes, type Variant } from './cells.ts'
import type { Record } from './records.ts'

export interface Costs {
  /** All numbers that are stored. */
  readonly parameters: number
  /** Multiplications a token, which attends to half of the context on average, forward: linear layers and attention for each stream,
   * the output embedding once for mixed hidden states and P times for mixed probabilities. What scales and gains multiply is left
   * out: a few per mille. */
  readonly arithmetic: number
  /** Numbers read for one decoded token at the end of the context: all parameters once, keys and values of every stream, where all but
   * those of an own window are the first stream's, once. */
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
  const shape = sizes[size as keyof typeof sizes] as Size
  const { hidden, layers, vocabulary, context } = shape
  const kvWidth = keyWidth(shape)
  const prefix = valueAfter(args, '--streams') === 'prefix' ? Number(valueAfter(args, '--prefix-tokens')) : 0
  const attention = layers * 2 * hidden * (context / 2 + prefix)
  const lora = valueAfter(args, '--streams') === 'lora' ? parameters - sizeParameters(shape) : 0 // of all streams together
  const ownWindow = args.includes('--own-window') ? Number(valueAfter(args, '--own-window')) : context
  const places = context + (p - 1) * Math.min(ownWindow, context)
  const heads = variant.includes('probabilities') || variant.startsWith('independent') ? p : 1
  return {
    parameters,
    arithmetic: p * (layers * linearParameters(shape) + attention) + lora + heads * vocabulary * hidden,
    traffic: parameters + places * layers * 2 * kvWidth,
  }
}

const valueAfter = (args: readonly string[], flag: string): string | undefined => args[args.indexOf(flag) + 1]

const keyWidth = ({ hidden, heads, kvHeads }: Size): number => (hidden / heads) * kvHeads

/** Of one layer. */
const linearParameters = (size: Size): number =>
  2 * size.hidden * (size.hidden + keyWidth(size)) + 3 * size.hidden * size.intermediate

/** Of P = 1 without anything of a stream: tied embedding, linear layers, gains of norms, biases of q, k and v. */
const sizeParameters = (size: Size): number =>
  (size.vocabulary + 1) * size.hidden + size.layers * (linearParameters(size) + 3 * size.hidden + 2 * keyWidth(size))

export const isPlain = (variant: Pick<Variant, 'name'> | string): boolean =>
  (typeof variant === 'string' ? variant : variant.name) === 'p1'
