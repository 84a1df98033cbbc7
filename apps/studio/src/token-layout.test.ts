/** Lines of tokens: every token stands in one line, none beyond the edge, words together. */
import { expect, it } from 'vitest'
import { TokenLayout } from './token-layout.ts'

const measure = (text: string) => 10 * text.length
const linesOf = (texts: readonly string[], layout: TokenLayout) =>
  Array.from({ length: layout.lines }, (_, line) => texts.slice(...layout.range(line)).join('|'))

it('breaks lines before words, and after line ends', () => {
  const texts = ['The', ' Presi', 'dent', ' of', '\n', ' the', ' United']
  const layout = new TokenLayout(105, measure)
  layout.grow(texts)
  expect(linesOf(texts, layout)).toEqual(['The', ' Presi|dent', ' of|\n', ' the', ' United'])
})

it('gives the same however the text grew, and finds every token where it stands', () => {
  const texts = Array.from(
    { length: 500 },
    (_, i) => `${i % 3 === 0 ? ' ' : ''}${'x'.repeat(1 + ((i * 7) % 9))}${i % 41 === 40 ? '\n' : ''}`,
  )
  const whole = new TokenLayout(400, measure)
  whole.grow(texts)
  const grown = new TokenLayout(400, measure)
  for (let i = 0; i < texts.length; i++) grown.grow(texts.slice(0, i + 1))
  for (const [i] of texts.entries()) {
    expect(grown.at(i)).toEqual(whole.at(i))
    const { line, x, width } = whole.at(i)!
    expect(x + width).toBeLessThanOrEqual(400)
    expect(whole.find(line, x + width / 2)).toBe(i)
  }
})

it('puts a token that is wider than the line in a line of its own', () => {
  const layout = new TokenLayout(50, measure)
  layout.grow(['ab', 'x'.repeat(20), 'cd'])
  expect([0, 1, 2].map((i) => layout.at(i)!.line)).toEqual([0, 1, 2])
})
