/** Cutting, filling and replacing: the work of `split`, `strip`, `replace`, `center` and their like. */
import { chargeSearch } from '../comparing.ts'
import { typeError, valueError } from '../errors.ts'
import { isSpace } from '../numbers.ts'
import { repeatText } from '../repeat.ts'
import type { Runtime } from '../runtime.ts'
import { joinTexts, type Text, TextParts, text } from '../text.ts'

/** Takes white space, or any of `characters`, from the ends. */
export function stripText({ budget }: Runtime, self: Text, left: boolean, right: boolean, characters?: Text): Text {
  const { value } = self
  budget.read(value.length)
  const wanted = characters && new Set(characters.value)
  const takes = (start: number, end: number): boolean =>
    wanted ? wanted.has(value.slice(start, end)) : isSpace(value.slice(start, end))
  const isPair = (at: number): boolean => value.codePointAt(at)! > 0xffff
  let start = 0
  let end = value.length
  while (left && start < end) {
    const next = start + (isPair(start) ? 2 : 1)
    if (!takes(start, next)) break
    start = next
  }
  while (right && end > start) {
    const previous = end - 2 >= start && isPair(end - 2) ? end - 2 : end - 1
    if (!takes(previous, end)) break
    end = previous
  }
  return self.units(start, end)
}

/** `limit` below zero: everywhere. */
export function replaceText(runtime: Runtime, self: Text, from: Text, to: Text, limit: number): Text {
  const { value } = self
  chargeSearch(runtime, value, from.value)
  const starts = limit === 0 ? [] : from.value === '' ? boundaries(self, limit) : occurrences(value, from.value, limit)
  if (starts.length === 0) return self
  runtime.budget.spend(2 * starts.length)
  runtime.budget.make(value.length + starts.length * to.value.length)
  const parts = new TextParts()
  let done = 0
  for (const start of starts) {
    parts.push(self.units(done, start))
    parts.push(to)
    done = start + from.value.length
  }
  parts.push(self.units(done, value.length))
  return parts.text(self.markup)
}

function occurrences(value: string, part: string, limit: number): number[] {
  const starts: number[] = []
  for (let at = value.indexOf(part); at >= 0 && starts.length !== limit; at = value.indexOf(part, at + part.length))
    starts.push(at)
  return starts
}

/** Before every character, and behind the last. */
function boundaries(self: Text, limit: number): number[] {
  const count = limit < 0 ? self.length + 1 : Math.min(limit, self.length + 1)
  return Array.from({ length: count }, (_, i) => self.unit(i))
}

export function splitText(runtime: Runtime, self: Text, separator: Text | undefined, limit: number, fromEnd: boolean): Text[] {
  const { value } = self
  if (separator?.value === '') throw valueError('empty separator')
  if (separator) chargeSearch(runtime, value, separator.value)
  runtime.budget.make(value.length)
  const cuts = separator ? separatorCuts(value, separator.value, limit, fromEnd) : undefined
  if (!cuts) return splitSpace(runtime, self, limit, fromEnd)
  runtime.budget.spend(4 * cuts.length)
  let done = 0
  const parts = cuts.map((at) => {
    const part = self.units(done, at)
    done = at + separator!.value.length
    return part
  })
  return [...parts, self.units(done, value.length)]
}

function separatorCuts(value: string, separator: string, limit: number, fromEnd: boolean): number[] {
  if (!fromEnd) return occurrences(value, separator, limit)
  const cuts: number[] = []
  let at = value.lastIndexOf(separator)
  while (at >= 0 && cuts.length !== limit) {
    cuts.push(at)
    at = at === 0 ? -1 : at - separator.length < 0 ? -1 : value.lastIndexOf(separator, at - separator.length)
  }
  return cuts.reverse()
}

/** Words between white space; the last (or first) one keeps what is left. */
function splitSpace(runtime: Runtime, self: Text, limit: number, fromEnd: boolean): Text[] {
  const { value } = self
  const words: [number, number][] = []
  for (let at = 0; at < value.length; ) {
    while (at < value.length && isSpace(value[at]!)) at++
    const start = at
    while (at < value.length && !isSpace(value[at]!)) at++
    if (at > start) words.push([start, at])
  }
  runtime.budget.spend(4 * words.length)
  const part = ([start, end]: readonly [number, number]): Text =>
    self.units(start, end).value === '' ? text('') : self.units(start, end)
  if (limit < 0 || words.length <= limit) return words.map(part)
  if (words.length === 0) return []
  if (fromEnd) {
    const kept = words.slice(words.length - limit)
    const rest = words[words.length - limit - 1]
    return [...(rest ? [part([0, rest[1]])] : []), ...kept.map(part)]
  }
  const rest = words[limit]
  return [...words.slice(0, limit).map(part), ...(rest ? [part([rest[0], value.length])] : [])]
}

const lineBreaks = '\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029'
const lineEnd = new RegExp(`\\r\\n|[${lineBreaks}]`, 'g')

export function splitLines(runtime: Runtime, self: Text, keepEnds: boolean): Text[] {
  const { value } = self
  runtime.budget.make(value.length)
  const lines: Text[] = []
  let done = 0
  for (const match of value.matchAll(lineEnd)) {
    const end = match.index + match[0].length
    lines.push(self.units(done, keepEnds ? end : match.index))
    done = end
  }
  if (done < value.length) lines.push(self.units(done, value.length))
  runtime.budget.spend(4 * lines.length)
  return lines
}

export function pad(runtime: Runtime, self: Text, width: number, side: 'left' | 'right' | 'both', fill: Text): Text {
  if (fill.length !== 1) throw typeError('The fill character must be exactly one character long')
  const missing = width - self.length
  if (missing <= 0) return self
  // CPython's unicode_center puts the odd one to the left of an even width.
  const before = side === 'left' ? 0 : side === 'right' ? missing : Math.floor(missing / 2) + (missing & width & 1)
  runtime.budget.make(self.value.length + missing * fill.value.length)
  const parts = [repeatText(runtime, fill, before), self, repeatText(runtime, fill, missing - before)]
  return joinTexts(...parts).as(self.markup)
}

export function zeroFill(runtime: Runtime, self: Text, width: number): Text {
  const missing = width - self.length
  if (missing <= 0) return self
  const sign = /^[+-]/.test(self.value) ? 1 : 0
  const zeros = repeatText(runtime, text('0'), missing)
  runtime.budget.make(self.value.length + missing)
  return joinTexts(self.units(0, sign), zeros, self.units(sign, self.value.length)).as(self.markup)
}

export function expandTabs(runtime: Runtime, self: Text, size: number): Text {
  const parts = new TextParts()
  let column = 0
  let done = 0
  for (const { 0: found, index } of self.value.matchAll(/[\t\n\r]/g)) {
    const before = self.units(done, index)
    column += before.value === '' ? 0 : before.length
    parts.push(before)
    if (found === '\t') {
      const spaces = size > 0 ? size - (column % size) : 0
      parts.push(repeatText(runtime, text(' '), spaces))
      column += spaces
    } else {
      parts.push(self.units(index, index + 1))
      column = 0
    }
    done = index + 1
    runtime.budget.make(parts.length > 1 << 20 ? parts.length : 0)
  }
  parts.push(self.units(done, self.value.length))
  runtime.budget.make(parts.length)
  return parts.text(self.markup)
}
