import { expect, it } from 'vitest'
import { strftime, strip } from './python-text.ts'

it.each([
  ['strip', '  a b \n', undefined, 'a b'],
  ['lstrip', '\x1c\x85\u2028 a ', undefined, 'a '],
  ['rstrip', ' a\u3000', undefined, ' a'],
  ['strip', '\uFEFFa\uFEFF', undefined, '\uFEFFa\uFEFF'],
  ['strip', '\n\n a \n', '\n', ' a '],
  ['strip', 'abcba', 'ab', 'c'],
  ['strip', 'aaa', 'a', ''],
  ['strip', ' a ', '', ' a '],
] as const)("Python's %s of %j", (side, text, characters, stripped) => {
  expect(strip(text, side, characters)).toBe(stripped)
})

it("writes dates as Python's C locale does", () => {
  const date = new Date(2024, 6, 5, 3, 4, 9)
  expect(strftime(date, '%d %b %Y, %A %B %m %H:%M:%S %a 100%% %Q')).toBe('05 Jul 2024, Friday July 07 03:04:09 Fri 100% %Q')
})
