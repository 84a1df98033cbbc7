/** Methods of Python's `str`. Positions and lengths are in code points; results keep who wrote what. */
import { chargeSearch } from '../comparing.ts'
import { typeError, valueError } from '../errors.ts'
import { itemsOf } from '../iterate.ts'
import { escapeMarkup } from '../markup.ts'
import { isSpace } from '../numbers.ts'
import type { Runtime } from '../runtime.ts'
import { integerArgument, textArgument } from '../signature.ts'
import { Text, TextParts, text } from '../text.ts'
import { Tuple, typeName, type Value } from '../values.ts'
import { capitalize, casefold, isCase, isClass, isTitle, lower, swapCase, title, upper } from './characters.ts'
import { expandTabs, pad, replaceText, splitLines, splitText, stripText, zeroFill } from './cutting.ts'
import type { Method } from './method.ts'

/** Called, they make bytes or need a table of all characters. */
export const refusedTextMethods: ReadonlySet<string> = new Set([
  'encode',
  'translate',
  'maketrans',
  'striptags',
  'unescape',
  'escape',
])

const property = (holds: (value: string) => boolean): Method<Text> => ({
  parameters: '',
  run(runtime, self) {
    runtime.budget.read(self.value.length)
    return holds(self.value)
  },
})

const mapping = (map: (value: Text) => Text): Method<Text> => ({
  parameters: '',
  run(runtime, self) {
    // Upper case may be three times as long.
    runtime.budget.make(3 * self.value.length)
    return map(self)
  },
})

const padding = (side: 'left' | 'right' | 'both'): Method<Text> => ({
  parameters: "width, fill=' ', /",
  run: (runtime, self, [width, fill]) =>
    pad(runtime, self, integerArgument(width!), side, textArgument(fill!, 'The fill character')),
})

const stripping = (left: boolean, right: boolean): Method<Text> => ({
  parameters: 'chars=none, /',
  run: (runtime, self, [chars]) =>
    stripText(runtime, self, left, right, chars === null ? undefined : textArgument(chars!, 'strip arg')),
})

/** Python's start and stop of a search, in code points. */
function searchBounds(self: Text, first: Value, last: Value): [number, number] {
  const { length } = self
  const bound = (value: Value, otherwise: number): number => {
    if (value === null) return otherwise
    const index = integerArgument(value)
    return index < 0 ? Math.max(0, index + length) : Math.min(index, length + 1)
  }
  return [bound(first, 0), Math.min(bound(last, length), length)]
}

/** Where a text is found, in code points; -1 where it is not. */
function find(runtime: Runtime, self: Text, args: readonly Value[], fromEnd: boolean): bigint {
  const part = textArgument(args[0]!, 'the text to find')
  const [start, stop] = searchBounds(self, args[1]!, args[2]!)
  if (start > stop) return -1n
  const [from, to] = [self.unit(start), self.unit(stop)]
  const window = self.value.slice(from, to)
  chargeSearch(runtime, window, part.value)
  const unit = fromEnd ? window.lastIndexOf(part.value) : window.indexOf(part.value)
  return unit < 0 ? -1n : BigInt(self.codePoint(from + unit))
}

const finding = (fromEnd: boolean, mustBeThere: boolean): Method<Text> => ({
  parameters: 'sub, start=none, end=none, /',
  run(runtime, self, args) {
    const at = find(runtime, self, args, fromEnd)
    if (at < 0n && mustBeThere) throw valueError('substring not found')
    return at
  },
})

const testing = (atStart: boolean): Method<Text> => ({
  parameters: 'prefix, start=none, end=none, /',
  run(runtime, self, [prefix, first, last]) {
    const prefixes = prefix instanceof Tuple ? prefix.items : [prefix!]
    const name = atStart ? 'startswith' : 'endswith'
    if (!prefixes.every((each) => each instanceof Text)) {
      throw typeError(`${name} first arg must be str or a tuple of str, not ${typeName(prefix!)}`)
    }
    const [start, stop] = searchBounds(self, first!, last!)
    if (start > stop) return false
    const window = self.value.slice(self.unit(start), self.unit(stop))
    return (prefixes as Text[]).some(({ value }) => {
      runtime.budget.read(value.length)
      return atStart ? window.startsWith(value) : window.endsWith(value)
    })
  },
})

const partitioning = (fromEnd: boolean): Method<Text> => ({
  parameters: 'sep, /',
  run(runtime, self, [sep]) {
    const separator = textArgument(sep!, 'sep')
    if (separator.value === '') throw valueError('empty separator')
    chargeSearch(runtime, self.value, separator.value)
    const at = fromEnd ? self.value.lastIndexOf(separator.value) : self.value.indexOf(separator.value)
    const empty = new Text('', [], self.markup)
    if (at < 0) return new Tuple(fromEnd ? [empty, empty, self] : [self, empty, empty])
    const end = at + separator.value.length
    // Python hands back the separator it was given; who wrote it there does not matter less.
    return new Tuple([self.units(0, at), separator.as(self.markup), self.units(end, self.value.length)])
  },
})

const splitting = (fromEnd: boolean): Method<Text> => ({
  parameters: 'sep=none, maxsplit=-1',
  run(runtime, self, [sep, limit]) {
    const separator = sep === null ? undefined : textArgument(sep!, 'sep')
    return splitText(runtime, self, separator, integerArgument(limit!), fromEnd)
  },
})

const removing = (atStart: boolean): Method<Text> => ({
  parameters: 'part, /',
  run(_, self, [part]) {
    const { value } = textArgument(part!, `${atStart ? 'removeprefix' : 'removesuffix'}() argument`)
    if (value === '' || !(atStart ? self.value.startsWith(value) : self.value.endsWith(value))) return self
    return atStart ? self.units(value.length, self.value.length) : self.units(0, self.value.length - value.length)
  },
})

export const textMethods: Readonly<Record<string, Method<Text>>> = {
  capitalize: mapping(capitalize),
  casefold: mapping(casefold),
  center: padding('both'),
  count: {
    parameters: 'sub, start=none, end=none, /',
    run(runtime, self, [sub, first, last]) {
      const part = textArgument(sub!, 'the text to count')
      const [start, stop] = searchBounds(self, first!, last!)
      if (start > stop) return 0n
      const window = self.value.slice(self.unit(start), self.unit(stop))
      chargeSearch(runtime, window, part.value)
      return BigInt(part.value === '' ? stop - start + 1 : window.split(part.value).length - 1)
    },
  },
  endswith: testing(false),
  expandtabs: { parameters: 'tabsize=8', run: (runtime, self, [size]) => expandTabs(runtime, self, integerArgument(size!)) },
  find: finding(false, false),
  index: finding(false, true),
  isalnum: property(isClass.alnum),
  isalpha: property(isClass.alpha),
  isascii: property((value) => !/[^\0-\x7f]/.test(value)),
  isdecimal: property(isClass.decimal),
  isdigit: property(isClass.digit),
  isidentifier: property((value) => /^[\p{XIDS}_]\p{XIDC}*$/u.test(value)),
  islower: property((value) => isCase(value, 'lower')),
  isnumeric: property(isClass.numeric),
  isprintable: property((value) => !/[\p{C}\p{Z}]/u.test(value.replaceAll(' ', ''))),
  isspace: property((value) => value !== '' && [...value].every(isSpace)),
  istitle: property(isTitle),
  isupper: property((value) => isCase(value, 'upper')),
  join: {
    parameters: 'iterable, /',
    run(runtime, self, [iterable]) {
      const items = itemsOf(runtime, iterable!).map((item, i) => {
        if (!(item instanceof Text)) throw typeError(`sequence item ${i}: expected str instance, ${typeName(item)} found`)
        return self.markup ? escapeMarkup(runtime, item) : item
      })
      return joinAll(runtime, self, items)
    },
  },
  ljust: padding('left'),
  lower: mapping(lower),
  lstrip: stripping(true, false),
  partition: partitioning(false),
  removeprefix: removing(true),
  removesuffix: removing(false),
  replace: {
    parameters: 'old, new, count=-1, /',
    run(runtime, self, [from, to, count]) {
      const old = textArgument(from!, 'replace() argument 1')
      const by = textArgument(to!, 'replace() argument 2')
      return replaceText(runtime, self, old, self.markup ? escapeMarkup(runtime, by) : by, integerArgument(count!))
    },
  },
  rfind: finding(true, false),
  rindex: finding(true, true),
  rjust: padding('right'),
  rpartition: partitioning(true),
  rsplit: splitting(true),
  rstrip: stripping(false, true),
  split: splitting(false),
  splitlines: {
    parameters: 'keepends=false',
    run: (runtime, self, [keepEnds]) => splitLines(runtime, self, integerArgument(keepEnds!) !== 0),
  },
  startswith: testing(true),
  strip: stripping(true, true),
  swapcase: mapping(swapCase),
  title: mapping(title),
  upper: mapping(upper),
  zfill: { parameters: 'width, /', run: (runtime, self, [width]) => zeroFill(runtime, self, integerArgument(width!)) },
}

/** `separator.join(items)`. */
export function joinAll(runtime: Runtime, separator: Text, items: readonly Text[]): Text {
  const gaps = Math.max(0, items.length - 1)
  runtime.budget.make(items.reduce((sum, item) => sum + item.value.length, separator.value.length * gaps))
  runtime.budget.spend(items.length)
  // One item alone comes back as it is; markup stays markup.
  const parts = new TextParts()
  for (const [i, item] of items.entries()) {
    if (i > 0) parts.push(separator)
    parts.push(item)
  }
  return items.length === 0
    ? text('').as(separator.markup)
    : parts.text(separator.markup || (items.length === 1 && items[0]!.markup))
}
