import { expect, it } from 'vitest'
import { compileTemplate } from '../../compiled-template.ts'

it.each([
  ['strip', '  a b \n', undefined, 'a b'],
  ['lstrip', '\x1c\x85\u2028 a ', undefined, 'a '],
  ['rstrip', ' a\u3000', undefined, ' a'],
  ['strip', '\uFEFFa\uFEFF', undefined, '\uFEFFa\uFEFF'],
  ['strip', '\n\n a \n', '\n', ' a '],
  ['strip', 'abcba', 'ab', 'c'],
  ['strip', 'aaa', 'a', ''],
  ['strip', ' a ', '', ' a '],
  ['strip', '👍a👍', '👍', 'a'],
] as const)("Python's %s of %j", (side, text, characters, stripped) => {
  const template = `{{ text.${side}(${characters === undefined ? '' : 'characters'}) }}`
  expect(compileTemplate(template).render({ given: { text, characters } }).value).toBe(stripped)
})
