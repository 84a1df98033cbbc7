/**
 * Mutated files for every parser, 10,000 each; the seed stands in the output and in a failure.
 * A million each: npm run fuzz -- --count 1000000
 */
import process from 'node:process'
import { isParscaleError } from '@parscale/core/internal'
import { afterAll, describe, expect, it } from 'vitest'
import { type FuzzTarget, inputOf, stopWatching } from '../../core/src/testing/fuzz/fuzz.ts'
import { testSeed as seed } from '../../core/src/testing/seed.ts'
import { fuzz, fuzzTargets } from './testing/fuzz-targets.ts'

const count = Number(process.env.PARSCALE_FUZZ_COUNT ?? 10_000)
const targets = await fuzzTargets()
afterAll(stopWatching)

/** A parser that does what `parse` does, in place of one that is broken in that way. */
const target = (parse: FuzzTarget['parse']): FuzzTarget => ({
  name: 'broken',
  seeds: [new Uint8Array(64)],
  parse,
  kinds: ['checkpoint'],
  growth: 10,
})

describe('the fuzzer', () => {
  const held: Uint8Array[] = []

  it.each<[string, FuzzTarget['parse'], RegExp]>([
    ['a raw error', () => ([] as { a: number }[])[0]!.a, /TypeError/],
    [
      'an error of another kind',
      () => {
        throw Object.assign(new Error('usage'), { kind: 'usage', [Symbol.for('parscale.error')]: true })
      },
      /usage/,
    ],
    // Held, as what is garbage at once may be collected before it is counted.
    ['growth', () => held.push(new Uint8Array(32 << 20)), /allocated \d+ bytes/],
  ])('finds %s, and says how it comes again', async (_, parse, message) => {
    const failure = await fuzz(target(parse), { seed: 5, count: 1 }).catch((error: Error) => error)
    expect(failure).toMatchObject({ name: 'FuzzFailure', message: expect.stringMatching(message) })
    expect((failure as Error).message).toMatch(
      /input: \S*\nagain: npm run fuzz -- --parser "broken" --seed 5 --first 0 --count 1$/,
    )
  })

  it('makes the same inputs of the same seed, and others of another', () => {
    for (const each of targets) {
      const inputs = (seed: number) => Array.from({ length: 20 }, (_, i) => Buffer.from(inputOf(each, seed, i)).toString('hex'))
      expect(inputs(1)).toEqual(inputs(1))
      expect(inputs(1)).not.toEqual(inputs(2))
    }
  })
})

describe(`seed ${seed}`, () => {
  it.each(targets.map((each) => [each.name, each] as const))('%s', async (_, each) => {
    // Something valid to begin with; templates and beginnings of files may be refused.
    const valid = await Promise.all(
      each.seeds.map(async (bytes) => {
        try {
          await each.parse(bytes)
          return true
        } catch (error) {
          if (isParscaleError(error)) return false
          throw error
        }
      }),
    )
    expect(valid).toContain(true)
    const { inputs, accepted } = await fuzz(each, { seed, count: Math.round(count * (each.weight ?? 1)) })
    // Not everything is turned away at the door, nor is everything taken.
    expect(accepted).toBeGreaterThan(0)
    expect(accepted).toBeLessThan(inputs)
  })
})
