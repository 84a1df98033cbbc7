/** Filters that make texts. */
import { binary } from '../arithmetic.ts'
import { PythonError, typeError } from '../errors.ts'
import { type JsonOptions, toJson } from '../format/json.ts'
import { formatPercent } from '../format/percent.ts'
import { itemsOf, iterate } from '../iterate.ts'
import { escapeMarkup } from '../markup.ts'
import { capitalize, lower, upper } from '../methods/characters.ts'
import { pad, replaceText, splitLines, stripText } from '../methods/cutting.ts'
import { joinAll } from '../methods/text.ts'
import { fixedDigits, whitespace } from '../numbers.ts'
import { softString, stringOf } from '../printing.ts'
import { repeatText } from '../repeat.ts'
import type { Runtime } from '../runtime.ts'
import { integerArgument } from '../signature.ts'
import { joinTexts, Text, TextParts, text } from '../text.ts'
import { Dict, iteratorOf, lengthOf, sequenceItems, Tuple, truthy, typeName, Undefined, type Value, View } from '../values.ts'
import { attributeGetter, type Filter, type FreeFilter } from './filter.ts'
import { toFloatValue } from './numbers.ts'

const mapping = (map: (value: Text) => Text): Filter => ({
  parameters: 's',
  run(runtime, [value]) {
    const given = softString(runtime, value!)
    runtime.budget.make(3 * given.value.length)
    return map(given)
  },
})

const wordStart = new RegExp(`([-({\\[<${whitespace}]+)`, 'u')

/** jinja2's own: words begin behind white space, `-` and opening brackets. */
function titleWords(value: Text): Text {
  const parts = new TextParts()
  let done = 0
  for (const item of value.value.split(wordStart)) {
    const part = value.units(done, done + item.length)
    done += item.length
    if (item === '') continue
    parts.push(upper(part.at(0)))
    parts.push(lower(part.slice(1, part.length)))
  }
  return parts.text(false)
}

function indent(runtime: Runtime, [given, width, first, blank]: readonly Value[]): Value {
  const indention = width instanceof Text ? width : repeatText(runtime, text(' '), integerArgument(width!))
  const isMarkup = given instanceof Text && given.markup
  const value = binary(runtime, '+', given!, text('\n').as(isMarkup)) as Text
  const lines = splitLines(runtime, value, false)
  runtime.budget.make(value.value.length + lines.length * indention.value.length)
  const indented = lines.map((line, i) =>
    (i === 0 ? truthy(first!) : truthy(blank!) || line.value !== '') ? joinTexts(indention, line) : line,
  )
  return joinAll(runtime, text('\n'), indented).as(isMarkup)
}

function truncate(runtime: Runtime, [given, limit, killWords, end, leeway]: readonly Value[]): Value {
  const most = integerArgument(limit!)
  const slack = leeway === null ? 5 : integerArgument(leeway!)
  if (!(end instanceof Text)) throw typeError(`object of type '${typeName(end!)}' has no len()`)
  if (most < end.length) throw new PythonError('ValueError', `expected length >= ${end.length}, got ${most}`)
  if (slack < 0) throw new PythonError('ValueError', `expected leeway >= 0, got ${slack}`)
  const length = lengthOf(given!)
  if (length === undefined) throw typeError(`object of type '${typeName(given!)}' has no len()`)
  if (length <= most + slack) return given!
  if (!(given instanceof Text)) throw typeError(`truncate() takes str, not ${typeName(given!)}`)
  const cut = given.slice(0, most - end.length)
  if (truthy(killWords!)) return binary(runtime, '+', cut, end)
  const space = cut.value.lastIndexOf(' ')
  return binary(runtime, '+', space < 0 ? cut : cut.units(0, space), end)
}

function join(runtime: Runtime, [items, separator, attribute]: readonly Value[]): Value {
  const get = attributeGetter(attribute!)
  const parts: Text[] = []
  for (const item of iterate(runtime, items!)) parts.push(stringOf(runtime, get(runtime, item)))
  return joinAll(runtime, stringOf(runtime, separator!), parts)
}

const format: FreeFilter = (runtime, { positional: [value, ...values], named }) => {
  if (values.length > 0 && named.size > 0) {
    throw new PythonError('TypeError', "can't handle positional and keyword arguments at the same time")
  }
  if (value === undefined) throw typeError('do_format() missing 1 required positional argument')
  const filled = named.size > 0 ? Dict.of([...named].map(([key, each]) => [text(key), each])) : new Tuple(values)
  return formatPercent(runtime, softString(runtime, value), filled)
}

const unitNames = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y']

function fileSize(_: Runtime, [given, binaryUnits]: readonly Value[]): Value {
  const bytes = toFloatValue(given!)
  const isBinary = truthy(binaryUnits!)
  const base = isBinary ? 1024 : 1000
  if (bytes === 1) return text('1 Byte')
  if (bytes < base) return text(`${Math.trunc(bytes)} Bytes`)
  const power = unitNames.findIndex((_, i) => bytes < base ** (i + 2))
  const index = power < 0 ? unitNames.length - 1 : power
  const size = (base * bytes) / base ** (index + 2)
  const name = isBinary ? `${unitNames[index]!.toUpperCase()}iB` : `${unitNames[index]}B`
  return text(`${Number.isFinite(size) ? fixedDigits(size, 1) : size > 0 ? 'inf' : 'nan'} ${name}`)
}

function xmlAttributes(runtime: Runtime, [given, autospace]: readonly Value[]): Value {
  if (given instanceof Undefined) given.fail()
  if (!(given instanceof Dict)) throw typeError(`'${typeName(given!)}' object has no attribute 'items'`)
  const parts = new TextParts()
  for (const [key, value] of given.entries()) {
    if (value === null || value instanceof Undefined) continue
    if (!(key instanceof Text)) throw typeError(`expected string or bytes-like object, got '${typeName(key)}'`)
    if (/[\t-\r />=]/.test(key.value)) throw new PythonError('ValueError', 'Invalid character in attribute name')
    if (parts.length > 0 || truthy(autospace!)) parts.push(' ')
    parts.push(escapeMarkup(runtime, key).as(false))
    parts.push('="')
    parts.push(escapeMarkup(runtime, value).as(false))
    parts.push('"')
  }
  runtime.budget.make(parts.length)
  return parts.text()
}

/** urllib's quote. What people wrote stays theirs. */
function quoteUrl(runtime: Runtime, value: Value, isQuery: boolean): Text {
  const given = stringOf(runtime, value)
  runtime.budget.make(9 * given.value.length)
  return given.map((run) => {
    const quoted = encodeURIComponent(run).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    return isQuery ? quoted.replaceAll('%20', '+') : quoted.replaceAll('%2F', '/')
  })
}

function urlEncode(runtime: Runtime, [value]: readonly Value[]): Value {
  if (value instanceof Text || iteratorOf(value!) === undefined) return quoteUrl(runtime, value!, false)
  const pairs = itemsOf(runtime, value instanceof Dict ? new View(value, 'items') : value!)
  const parts = pairs.map((pair) => {
    const [key, item, ...more] = sequenceItems(pair) ?? itemsOf(runtime, pair)
    if (item === undefined || more.length > 0)
      throw new PythonError('ValueError', 'not enough or too many values to unpack (expected 2)')
    return joinTexts(quoteUrl(runtime, key!, true), '=', quoteUrl(runtime, item, true))
  })
  return joinAll(runtime, text('&'), parts)
}

function json(runtime: Runtime, [value, ensureAscii, indentation, separators, sortKeys]: readonly Value[]): Value {
  const [itemSeparator, keySeparator] = separatorsOf(runtime, separators!, indentation !== null)
  const options: JsonOptions = {
    ensureAscii: truthy(ensureAscii!),
    indent:
      indentation === null
        ? undefined
        : indentation instanceof Text
          ? indentation
          : repeatText(runtime, text(' '), integerArgument(indentation!)),
    itemSeparator,
    keySeparator,
    sortKeys: truthy(sortKeys!),
  }
  return toJson(runtime, value!, options)
}

function separatorsOf(runtime: Runtime, separators: Value, isIndented: boolean): [Text, Text] {
  if (separators === null) return [text(isIndented ? ',' : ', '), text(': ')]
  const [item, key, ...more] = itemsOf(runtime, separators)
  if (item === undefined || key === undefined || more.length > 0) throw new PythonError('ValueError', 'separators should be two')
  if (!(item instanceof Text) || !(key instanceof Text)) throw typeError('separators should be texts')
  return [item, key]
}

export const textFilters: Readonly<Record<string, Filter | FreeFilter>> = {
  capitalize: mapping(capitalize),
  center: {
    parameters: 'value, width=80',
    run: (runtime, [value, width]) => pad(runtime, softString(runtime, value!), integerArgument(width!), 'both', text(' ')),
  },
  escape: { parameters: 's, /', run: (runtime, [value]) => escapeMarkup(runtime, value!) },
  filesizeformat: { parameters: 'value, binary=false', run: fileSize },
  forceescape: { parameters: 'value', run: (runtime, [value]) => escapeMarkup(runtime, stringOf(runtime, value!)) },
  format,
  indent: { parameters: 's, width=4, first=false, blank=false', run: indent },
  join: { parameters: "value, d='', attribute=none", run: join },
  lower: mapping(lower),
  replace: {
    parameters: 's, old, new, count=none',
    run(runtime, [value, from, to, count]) {
      const [given, old, by] = [value!, from!, to!].map((each) => stringOf(runtime, each)) as [Text, Text, Text]
      return replaceText(runtime, given, old, by, count === null ? -1 : integerArgument(count!))
    },
  },
  safe: { parameters: 'value', run: (runtime, [value]) => softString(runtime, value!).as(true) },
  string: { parameters: 's, /', run: (runtime, [value]) => softString(runtime, value!) },
  title: mapping(titleWords),
  tojson: { parameters: 'x, ensure_ascii=false, indent=none, separators=none, sort_keys=false', run: json },
  trim: {
    parameters: 'value, chars=none',
    run(runtime, [value, chars]) {
      if (chars !== null && !(chars instanceof Text)) throw typeError(`strip arg must be None or str, not ${typeName(chars!)}`)
      return stripText(runtime, softString(runtime, value!), true, true, chars ?? undefined)
    },
  },
  truncate: { parameters: "s, length=255, killwords=false, end='...', leeway=none", run: truncate },
  upper: mapping(upper),
  urlencode: { parameters: 'value', run: urlEncode },
  wordcount: {
    parameters: 's',
    run(runtime, [value]) {
      const given = softString(runtime, value!)
      runtime.budget.read(given.value.length)
      return BigInt(given.value.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)
    },
  },
  xmlattr: { parameters: 'd, autospace=true', run: xmlAttributes },
}
