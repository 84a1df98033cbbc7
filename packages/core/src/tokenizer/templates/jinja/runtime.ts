/** What every operation of a running template is given: its budget and the time. */
import type { TemplateBudget } from '../budget.ts'
import type { Arguments, Value } from './values.ts'

export interface Runtime {
  readonly budget: TemplateBudget
  readonly now: () => Date
  /** jinja2's StrictUndefined: what is not there can be neither printed nor gone through. Default false. */
  readonly strict?: boolean
  /** Filters beside jinja2's own, by name. */
  readonly filters?: Readonly<Record<string, (runtime: Runtime, args: Arguments) => Value>>
}
