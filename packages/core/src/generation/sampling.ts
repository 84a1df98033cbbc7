/**
 * From logits to a token id: bias and penalties (penalties.ts), a constraint, temperature, top-k, top-p, min-p (candidates.ts),
 * then one draw from a seeded stream (../random.ts). Temperature 0 is greedy: the largest score, between equals the lowest id.
 */
import { usageError } from '../errors.ts'
import { createRandom } from '../random.ts'
import { type CandidateOptions, Candidates } from './candidates.ts'
import { argmax, logSumExp } from './log-probabilities.ts'
import { createPenalties, type PenaltyOptions } from './penalties.ts'

/** How the next token is drawn: temperature, candidates, penalties, bias, seed. */
export interface SamplingOptions extends PenaltyOptions, CandidateOptions {
  /** 0: greedy. 1: the model's own distribution. */
  readonly temperature: number
  /** A safe integer. Whoever wants another text each time passes another seed; absent: 0. */
  readonly seed?: number
  /** Restricts what may come next, after bias and penalties, before temperature and top-k. */
  readonly constraint?: Constraint
}

/** Says before each draw which tokens may come next: a grammar, a schema, a list of answers. */
export interface Constraint {
  /**
   * Bans tokens by -Infinity, or changes their scores. When it throws or bans every token, its request fails, and only that one.
   *
   * @param scores [V], to be changed in place @param generated ids drawn so far, without the prompt; not to be changed
   */
  mask(scores: Float32Array, generated: readonly number[]): void
}

export interface Sampler {
  /**
   * Draws from logits [V], which are not modified. `logProbability` (natural) is the model's own: softmax of the logits as
   * given, before bias, penalties and temperature, so that it equals what scoring the text gives. It is worked out when it
   * is read, for it costs V exponentials: read it before the logits are overwritten.
   * Throws a runtime error if a logit is NaN or +Infinity, or if every token is banned.
   */
  sample(logits: Float32Array): { readonly id: number; readonly logProbability: number }
  /** Adds a token to the history that penalties see. */
  accept(id: number): void
}

/** Logits are float32, of up to 3.4e38: with this one and the smallest repetition penalty, sums and quotients stay finite. */
const largestBias = 1e30

/** Returns `options` if every value is in range; else throws a usage error that names the option. */
export function validateSampling(options: SamplingOptions): SamplingOptions {
  const ranges: [keyof SamplingOptions, string, (value: number) => boolean][] = [
    ['temperature', 'a finite number of at least 0', (x) => x >= 0 && x < Infinity],
    ['topK', 'an integer of at least 1', (x) => Number.isSafeInteger(x) && x >= 1],
    ['topP', 'greater than 0 and at most 1', (x) => x > 0 && x <= 1],
    ['minP', 'from 0 to 1', (x) => x >= 0 && x <= 1],
    ['repetitionPenalty', 'from 1e-6 to 1e6', (x) => x >= 1e-6 && x <= 1e6],
    ['presencePenalty', 'from -2 to 2', (x) => Math.abs(x) <= 2],
    ['frequencyPenalty', 'from -2 to 2', (x) => Math.abs(x) <= 2],
    ['seed', 'an integer up to 2^53', Number.isSafeInteger],
  ]
  for (const [flag, expected, accepts] of ranges) {
    const found = options[flag]
    if (found === undefined && flag !== 'temperature') continue
    if (typeof found !== 'number' || !accepts(found))
      throw usageError(`${flag} must be ${expected}, got ${found}`, { flag, expected, found })
  }
  for (const [id, bias] of options.logitBias ?? []) {
    if (!Number.isSafeInteger(id) || id < 0) {
      throw usageError(`logitBias: a token id must be an integer of at least 0, got ${id}`, { flag: 'logitBias', found: id })
    }
    if (!(Math.abs(bias) <= largestBias || bias === -Infinity)) {
      const expected = `from -${largestBias} to ${largestBias}, or -Infinity`
      throw usageError(`logitBias: the bias of token ${id} must be ${expected}, got ${bias}`, {
        flag: 'logitBias',
        found: bias,
      })
    }
  }
  return options
}

/** @param promptIds what the repetition penalty sees before the first `accept` */
export function createSampler(options: SamplingOptions, promptIds: readonly number[]): Sampler {
  const { temperature, seed = 0, constraint } = validateSampling(options)
  const generated: number[] = []
  const random = createRandom(seed)
  const penalties = createPenalties(options, promptIds)
  let scratch = new Float32Array(0)
  let candidates = new Candidates(0)

  return {
    accept(id) {
      generated.push(id)
      penalties.accept(id)
    },
    sample(logits) {
      let scores = logits
      if (penalties.active || constraint) {
        if (scratch.length !== logits.length) scratch = new Float32Array(logits.length)
        scratch.set(logits)
        penalties.apply(scratch)
        constraint?.mask(scratch, generated)
        scores = scratch
      }
      const best = argmax(scores)
      let id = best
      if (temperature > 0) {
        if (candidates.ids.length !== logits.length) candidates = new Candidates(logits.length)
        id = candidates.draw(scores, scores[best]!, options, random.uniform())
      }
      return {
        id,
        get logProbability() {
          return logits[id]! - logSumExp(logits)
        },
      }
    },
  }
}
