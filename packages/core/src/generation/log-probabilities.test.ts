/** The largest of many scores, against the language's own. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { argmax } from './log-probabilities.ts'

it('argmax is the first place of the maximum, and names what no draw can be made from', () => {
  const score = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom(-Infinity, -0, 1e30))
  const rare = fc.oneof({ weight: 40, arbitrary: score }, { weight: 1, arbitrary: fc.constantFrom(Number.NaN, Infinity) })
  fc.assert(
    fc.property(fc.array(rare, { minLength: 1, maxLength: 23 }), (given) => {
      const scores = Float32Array.from(given)
      const max = Math.max(...scores)
      if (given.some(Number.isNaN)) expect(() => argmax(scores)).toThrow(`logit of token ${given.findIndex(Number.isNaN)} is NaN`)
      else if (max === Infinity) expect(() => argmax(scores)).toThrow(`logit of token ${given.indexOf(Infinity)} is +Infinity`)
      else if (max === -Infinity) expect(() => argmax(scores)).toThrow(`all ${given.length} tokens are banned`)
      else expect(argmax(scores)).toBe([...scores].indexOf(max))
    }),
    { numRuns: 3000 },
  )
})
