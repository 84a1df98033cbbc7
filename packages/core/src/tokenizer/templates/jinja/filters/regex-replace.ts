/** The filter of lm-evaluation-harness' templates, where a runtime says what it does. */
import { isParscaleError } from '../../../../errors.ts'
import { typeError, valueError } from '../errors.ts'
import { signature } from '../signature.ts'
import { Text, text } from '../text.ts'
import { integerOf } from '../values.ts'
import type { FreeFilter } from './filter.ts'

const bind = signature('regex_replace', 'string, pattern, repl, count=0')

export const regexReplace: FreeFilter = ({ budget, regexReplace }, args) => {
  const [given, pattern, replacement, count] = bind(args)
  if (!(given instanceof Text && pattern instanceof Text && replacement instanceof Text))
    throw typeError('regex_replace: expected string or bytes-like object')
  const most = integerOf(count!)
  if (most === undefined) throw typeError('regex_replace: count must be an integer')
  budget.make(given.value.length)
  try {
    const replaced = regexReplace!(pattern.value, replacement.value, given.value, Number(most))
    budget.make(replaced.length)
    return text(replaced)
  } catch (error) {
    if (isParscaleError(error)) throw error
    throw valueError(error instanceof Error ? error.message : String(error))
  }
}
