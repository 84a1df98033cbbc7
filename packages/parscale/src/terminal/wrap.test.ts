import { expect, it } from 'vitest'
import { wrapLines } from './wrap.ts'

it('breaks at words and indents what follows', () => {
  expect(wrapLines('parscale: there is no such file\nshort', 20)).toBe('parscale: there is\n  no such file\nshort')
})

it('keeps the column of what a label names, and puts a remark onto its own line', () => {
  expect(wrapLines('layers    3, hidden 64, intermediate 176', 30)).toBe('layers    3, hidden 64,\n          intermediate 176')
  expect(wrapLines('  parscale models --p 8 --data pile     eight streams', 40)).toBe(
    '  parscale models --p 8 --data pile\n    eight streams',
  )
})

it('leaves long words, colours, and everything where there is no width', () => {
  expect(wrapLines('see /a/path/that/is/longer/than/the/line now', 20)).toBe('see\n  /a/path/that/is/longer/than/the/line\n  now')
  expect(wrapLines('\u001b[2m a coloured line that is long \u001b[0m', 10)).toBe(
    '\u001b[2m a coloured line that is long \u001b[0m',
  )
  expect(wrapLines('a line of no width at all')).toBe('a line of no width at all')
})
