/** What every chat template finds in scope, as transformers provides it (utils/chat_template_utils.py). */
import { usageError } from '../../errors.ts'
import type { TemplateBudget } from './budget.ts'
import { Environment, type TemplateScope } from './jinja-library.ts'
import { strftime } from './python-text.ts'

export function templateGlobals(budget: TemplateBudget): TemplateScope {
  const scope = new Environment()
  for (const [name, value] of Object.entries(constants)) scope.set(name, value)
  scope.set('range', (first: unknown, second?: unknown, third: unknown = 1) => range(budget, first, second, third))
  scope.set('strftime_now', (format: unknown) => strftime(new Date(), String(format)))
  scope.set('raise_exception', (message: unknown) => {
    const reason = typeof message === 'string' ? message.slice(0, 1000) : 'the messages are not as it needs them'
    throw usageError(`chat template: ${reason}`)
  })
  return scope
}

const constants = { true: true, false: false, none: null, True: true, False: false, None: null }

/** Python's `range`, as a list whose length is charged before it exists. */
function range(budget: TemplateBudget, first: unknown, second: unknown, step: unknown): number[] {
  // Called with one number, that is where the range stops.
  const [start, stop] = typeof second === 'number' ? [first, second] : [0, first]
  if (!Number.isInteger(start) || !Number.isInteger(stop) || !Number.isInteger(step) || step === 0) {
    throw usageError('chat template: range() takes whole numbers, and a step that is not 0')
  }
  const [from, by] = [start as number, step as number]
  const length = Math.max(0, Math.ceil(((stop as number) - from) / by))
  budget.spend(length)
  return Array.from({ length }, (_, i) => from + i * by)
}
