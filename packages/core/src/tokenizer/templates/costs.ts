/**
 * What the template library's operations cost, charged before they run: all those whose work or result can be larger than
 * their nodes in the template. Names as in Jinja.
 */

import { type TemplateBudget, templateLimit } from './budget.ts'
import type { TemplateValue } from './jinja-library.ts'

/** One argument of a filter or method, evaluated. */
export interface Argument {
  /** Undefined for a positional one. */
  readonly name: string | undefined
  readonly value: TemplateValue
}

/** More is no layout but an attack. */
const maxIndent = 64

/** Filters that do not look at what is in their operand. */
const constantFilters = new Set(['length', 'first', 'last', 'default', 'safe', 'list'])

export const textOf = (value: TemplateValue | undefined): string | undefined =>
  typeof value?.value === 'string' ? value.value : undefined

/** Items of a list or map. */
export const sizeOf = ({ value }: TemplateValue): number =>
  Array.isArray(value) ? value.length : value instanceof Map ? value.size : 0

const isContainer = ({ value }: TemplateValue): boolean => Array.isArray(value) || value instanceof Map

export function chargeFilter(budget: TemplateBudget, name: string, operand: TemplateValue, args: readonly Argument[]): void {
  if (constantFilters.has(name)) return
  const text = textOf(operand)
  const argumentChars = charsOf(args)
  if (name === 'tojson') {
    budget.write(operand, checkIndent(numberArgument(args, 'indent', 0) + argumentChars))
  } else if (name === 'string') {
    budget.write(operand)
  } else if (name === 'join') {
    budget.make(budget.write(operand) + Math.max(text?.length ?? 0, sizeOf(operand)) * argumentChars)
    budget.spend(text?.length ?? 0)
  } else if (name === 'sort' || name === 'dictsort') {
    chargeSort(budget, operand)
  } else if (text === undefined) {
    budget.spend(sizeOf(operand) * (4 + argumentChars))
  } else if (name === 'replace') {
    chargeReplace(budget, text, args)
  } else if (name === 'indent') {
    const width = checkIndent(numberArgument(args, 'width', 4))
    budget.make(text.length + (occurrences(text, '\n') + 1) * width)
  } else {
    budget.read(text.length)
  }
}

export function chargeMethod(budget: TemplateBudget, name: string, object: TemplateValue, args: readonly Argument[]): void {
  const text = textOf(object)
  if (text === undefined) {
    if (name === 'dictsort') chargeSort(budget, object)
    else if (name !== 'get') budget.spend(sizeOf(object) * 4)
  } else if (name === 'replace') {
    chargeReplace(budget, text, args)
  } else if (name === 'split') {
    const separator = textOf(args[0]?.value)
    if (separator) chargeSearch(budget, text, separator)
    budget.spend(separator ? occurrences(text, separator) : text.length / 2)
  } else {
    budget.read(text.length + charsOf(args))
    for (const { value } of args) budget.spend(sizeOf(value))
  }
}

export function chargeBinary(budget: TemplateBudget, operator: string, left: TemplateValue, right: TemplateValue): void {
  const leftText = textOf(left)
  const rightText = textOf(right)
  if (leftText !== undefined && rightText !== undefined) {
    if (operator === '+' || operator === '~') budget.make(leftText.length + rightText.length)
    else if (operator.endsWith('in')) chargeSearch(budget, rightText, leftText)
    else budget.read(Math.min(leftText.length, rightText.length))
  } else if (operator.endsWith('in')) {
    budget.spend(Array.isArray(right.value) ? right.value.length : 0)
  } else if (Array.isArray(left.value) && Array.isArray(right.value)) {
    budget.spend(left.value.length + right.value.length)
  } else if (isContainer(left) || isContainer(right)) {
    // JavaScript writes a list out to join or compare it with something else.
    budget.make(budget.write(left) + budget.write(right))
  }
}

/** How often `part` occurs in `text`, not overlapping. */
function occurrences(text: string, part: string): number {
  let count = 0
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) count++
  return count
}

/** Finding a text in another takes time in the product of both, where they are made for it. */
function chargeSearch(budget: TemplateBudget, text: string, part: string): void {
  budget.read(text.length)
  if (part.length <= text.length) budget.spend((text.length * part.length) / 4096)
}

function chargeReplace(budget: TemplateBudget, text: string, args: readonly Argument[]): void {
  const from = textOf(args[0]?.value) ?? ''
  const to = textOf(args[1]?.value) ?? ''
  chargeSearch(budget, text, from)
  const found = from === '' ? text.length + 1 : occurrences(text, from)
  budget.spend(found)
  budget.make(text.length + found * to.length)
}

function chargeSort(budget: TemplateBudget, operand: TemplateValue): void {
  const rounds = Math.log2(sizeOf(operand) + 2)
  budget.read(budget.write(operand) * rounds)
  budget.spend(sizeOf(operand) * rounds)
}

const charsOf = (args: readonly Argument[]): number =>
  args.reduce((sum, { value }) => {
    const items = Array.isArray(value.value) ? (value.value as TemplateValue[]) : [value]
    return items.reduce((inner, item) => inner + (textOf(item)?.length ?? 0), sum)
  }, 0)

/** A number given by name or, where a filter takes one, as the first argument. */
function numberArgument(args: readonly Argument[], name: string, otherwise: number): number {
  const found = args.find((argument) => argument.name === name) ?? args.find((argument) => argument.name === undefined)
  return typeof found?.value.value === 'number' ? found.value.value : otherwise
}

function checkIndent(width: number): number {
  if (width <= maxIndent) return width
  throw templateLimit(`it indents or separates by ${width} characters; the limit is ${maxIndent}`)
}
