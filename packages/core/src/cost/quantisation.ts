/**
 * Weight formats and what they cost in loss, for the planner.
 *
 * Bits: mean over a whole file of Llama 3 8B (8.03e9 weights), scales included. Loss: ln(perplexity / perplexity at full
 * precision) on WikiText-2, both from llama.cpp, tools/perplexity/README.md, "LLaMA 3 8b Scoreboard" without importance matrix.
 * One model's numbers: smaller models and longer training lose more, so below 5 bits take them for a lower bound.
 */
import { usageError } from '../errors.ts'

/** A weight format: bits of a weight, and its increase of the loss. */
export interface WeightFormat {
  readonly name: string
  readonly bits: number
  /** Nats per token added to the loss. */
  readonly lossIncrease: number
}

const basePerplexity = 6.231636
const row = (name: string, fileGiB: number, perplexity: number): WeightFormat => ({
  name,
  bits: (fileGiB * 2 ** 30 * 8) / 8.03e9,
  lossIncrease: Math.log(perplexity / basePerplexity),
})

/** The weight formats that are known by name. */
export const weightFormats: readonly WeightFormat[] = [
  { name: 'f16', bits: 16, lossIncrease: 0 },
  row('q8_0', 7.96, 6.234284),
  row('q6_k', 6.14, 6.253382),
  row('q5_k_m', 5.33, 6.288607),
  row('q4_k_m', 4.58, 6.407115),
  row('q4_0', 4.34, 6.700147),
]

/** Throws a usage error with the known names. */
export function weightFormatNamed(name: string): WeightFormat {
  const found = weightFormats.find((format) => format.name === name)
  if (found === undefined) {
    const known = weightFormats.map((format) => format.name)
    throw usageError(`weight format '${name}' is not known; choose among ${known.join(', ')}`, {
      flag: 'formats',
      expected: known,
      found: name,
    })
  }
  return found
}
