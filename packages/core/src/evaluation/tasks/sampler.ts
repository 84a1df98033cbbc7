/** Few-shot examples as lm-evaluation-harness draws them (api/samplers.py): the same seed gives the same examples. */
import { usageError } from '../../errors.ts'
import type { Document } from './config.ts'
import { PythonRandom } from './python/random.ts'

export interface Sampler {
  /**
   * The next question's examples: draws go on from question to question, so that all are asked for in order.
   *
   * @param question left out where it is drawn, for examples and questions of one split
   */
  sample(count: number, question?: Document): readonly Document[]
}

/** @param kind `first_n`: always the first ones. `default`: drawn */
export function createSampler(kind: 'default' | 'first_n', pool: readonly Document[], seed: number): Sampler {
  const keys = new Map<Document, string>()
  const keyOf = (doc: Document): string => {
    const known = keys.get(doc)
    if (known !== undefined) return known
    const key = JSON.stringify(doc)
    keys.set(doc, key)
    return key
  }
  const without = (docs: readonly Document[], question: Document): Document[] => {
    const key = JSON.stringify(question)
    return docs.filter((doc) => keyOf(doc) !== key)
  }
  const mustSuffice = (size: number, count: number) => {
    if (size >= count) return
    throw usageError(`fewshot_split: ${count} examples are wanted, the split has ${size}; lower --num-fewshot`, {
      expected: count,
      found: size,
    })
  }
  if (kind === 'first_n') {
    return {
      sample(count, question) {
        const left = question ? without(pool, question) : pool
        mustSuffice(left.length, count)
        return left.slice(0, count)
      },
    }
  }
  const random = new PythonRandom(seed)
  return {
    sample(count, question) {
      if (count === 0) return []
      mustSuffice(pool.length, question ? count + 1 : count)
      if (!question) return random.sample(pool, count)
      const drawn = without(random.sample(pool, count + 1), question).slice(0, count)
      // The question may be in the split more than once.
      return drawn.length === count ? drawn : random.sample(without(pool, question), count)
    },
  }
}
