/** What every operation of a running template is given: its budget and the time. */
import type { TemplateBudget } from '../budget.ts'

/** Python's `re.sub(pattern, replacement, text, count)`; 0 replaces all. @throws Error for a pattern that is none */
export type RegexReplace = (pattern: string, replacement: string, text: string, count: number) => string

export interface Runtime {
  readonly budget: TemplateBudget
  readonly now: () => Date
  /** jinja2's StrictUndefined: what is not there can be neither printed nor gone through. Default false. */
  readonly strict?: boolean
  /** What the filter `regex_replace` does, which jinja2 does not have: Python's `re.sub`. Default: there is no such filter. */
  readonly regexReplace?: RegexReplace
}
