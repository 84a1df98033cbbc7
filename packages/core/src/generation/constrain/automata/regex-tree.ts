/** A regular expression as a tree, and short ways to write one. */
import { everything, type Ranges } from './ranges.ts'

export type Regex =
  | { readonly type: 'set'; readonly ranges: Ranges }
  | { readonly type: 'sequence' | 'choice'; readonly items: readonly Regex[] }
  | { readonly type: 'repeat'; readonly item: Regex; readonly min: number; readonly max: number }
  /** The start and the end of the text. */
  | { readonly type: 'start' | 'end' }

export const set = (...ranges: number[]): Regex => ({ type: 'set', ranges })
export const sequence = (...items: Regex[]): Regex => ({ type: 'sequence', items })
export const choice = (...items: Regex[]): Regex => ({ type: 'choice', items })
export const repeat = (item: Regex, min: number, max: number = Number.POSITIVE_INFINITY): Regex => ({
  type: 'repeat',
  item,
  min,
  max,
})
export const optional = (item: Regex): Regex => repeat(item, 0, 1)
export const text = (characters: string): Regex =>
  sequence(...Array.from(characters, (each) => set(each.codePointAt(0)!, each.codePointAt(0)!)))
export const anything: Regex = repeat({ type: 'set', ranges: everything }, 0)
/** Digits from `low` to `high`; nothing matches where `low` is larger. */
export const digits = (low: number, high: number): Regex => (low > high ? choice() : set(0x30 + low, 0x30 + high))
