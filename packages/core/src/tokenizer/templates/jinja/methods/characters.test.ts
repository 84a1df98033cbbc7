import { expect, it } from 'vitest'
import { Text } from '../text.ts'
import { capitalize, lower, swapCase, title } from './characters.ts'

/** As CPython 3.11 gives them. */
it.each([
  ['ΑΣΣ ß', 'ασς ß', 'Ασς ß', 'Ασς Ss', 'ασς SS'],
  ['aΣ:σ', 'aσ:σ', 'Aσ:σ', 'Aσ:Σ', 'Aσ:Σ'],
  ['nⓐΣ\u0307ⓐ-', 'nⓐσ\u0307ⓐ-', 'Nⓐσ\u0307ⓐ-', 'Nⓐσ\u0307Ⓐ-', 'NⒶσ\u0307Ⓐ-'],
  ['İΣ ΣΣ', 'i\u0307ς σς', 'İς σς', 'İς Σς', 'i\u0307ς σς'],
])('a sigma is written by what stands around it: %s', (text, ...expected) => {
  const all = [lower, capitalize, title, swapCase].map((change) => change(new Text(text, [])).value)
  expect(all).toEqual(expected)
})
