/** What every operation of a running template is given: its budget and the time. */
import type { TemplateBudget } from '../budget.ts'

export interface Runtime {
  readonly budget: TemplateBudget
  readonly now: () => Date
}
