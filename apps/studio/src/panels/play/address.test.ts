import { describe, expect, it } from 'vitest'
import { addressOf, readAddress } from './address.ts'

const traced = {
  ...{
    model: 'small',
    prompt: 'The people & <script>',
    p: 8,
    without: [0],
    seed: 7,
    temperature: 0.8,
    tokens: 120,
    beside: true,
  },
  plan: [
    { at: 0, p: 8, without: [0] },
    { at: 24, p: 2, without: [] },
    { at: 60, p: 8, without: [2, 3] },
  ],
}
const made = addressOf(traced).toString()
const read = (text: string) => readAddress(new URLSearchParams(text))

describe('an address of a text', () => {
  it('says again what it was made of', () => {
    const { plan, ...rest } = traced
    expect(read(made)).toEqual({ ...rest, plan: plan.slice(1), problems: [] })
    expect(read('').problems).toEqual([])
    expect(read('prompt=Hello')).toMatchObject({ prompt: 'Hello', seed: undefined, problems: [] })
  })

  it('says that it was cut, wherever that was after the seed', () => {
    const seed = made.indexOf('seed=7') + 'seed=7'.length
    for (let end = seed; end < made.length; end++)
      expect(read(made.slice(0, end)).problems.join(), made.slice(0, end)).toMatch(/cut/)
  })

  it.each([
    ['tokens=1e9', /tokens is “1e9” where a whole number from 1 to 10000 was expected/],
    ['seed=-1', /seed is “-1”/],
    ['seed=1.5', /seed is “1\.5” where a whole number/],
    ['temperature=NaN', /temperature is “NaN”/],
    ['p=0', /p is “0”/],
    ['p=', /p is “”/],
    ['out=1,,3', /out is “1,,3”/],
    ['changes=24-8-3.nonsense', /“nonsense” in changes/],
    ['changes=24-8.12-1', /“12-1” in changes/],
    ['v=2', /made by another version/],
    ['quality=high', /“quality” in it is nothing that this version knows/],
  ])('says what is wrong with %s, and takes the rest', (text, expected) => {
    const { problems, prompt } = read(`prompt=Hello&${text}`)
    expect(problems.join(' ')).toMatch(expected)
    expect(prompt).toBe('Hello')
  })

  it('is never taken whole, however long it is', () => {
    const { problems, prompt } = read(`prompt=${'a'.repeat(1e6)}&seed=${'9'.repeat(1e5)}`)
    expect(problems.join(' ')).toMatch(/prompt has 1,000,000 characters.*seed is “9{40}…”/)
    expect(problems.join('').length).toBeLessThan(400)
    expect(prompt).toBeUndefined()
  })
})
