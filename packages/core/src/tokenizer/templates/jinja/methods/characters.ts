/** Case and classes of characters, as Python's `str` knows them (Unicode's properties and full case mappings). */
import { notSupported } from '../errors.ts'
import { Text } from '../text.ts'

/** Maps run by run where that gives the same as mapping the whole; else all of it counts as a person's where any of it is. */
function mapCase(value: Text, map: (run: string) => string): Text {
  const whole = map(value.value)
  if (value.spans.length === 0) return new Text(whole, [], value.markup)
  const mapped = value.map(map)
  return mapped.value === whole ? mapped : value.replaced(whole)
}

export const upper = (value: Text): Text => mapCase(value, (run) => run.toUpperCase())
export const lower = (value: Text): Text => mapCase(value, (run) => run.toLowerCase())

export function casefold(value: Text): Text {
  if (/[^\0-\x7f]/.test(value.value)) throw notSupported('casefold of what is not ASCII')
  return lower(value)
}

const firstCharacter = /^./su

export const capitalize = (value: Text): Text => keepWriters(value, capitalized(lowerLetters(value.value))(value.value))

export function title(value: Text): Text {
  const word = capitalized(lowerLetters(value.value))
  return keepWriters(value, value.value.replace(/\p{Cased}+/gu, word))
}

export const swapCase = (value: Text): Text =>
  mapCase(value, (run) => {
    const lowered = lowerLetters(run)
    return run.replace(/[\p{Uppercase}\p{Lowercase}]/gu, (letter) => {
      const small = lowered(letter)
      return /\p{Uppercase}/u.test(letter) ? small : letter.toUpperCase()
    })
  })

/** Lower case of a text's letters, asked for part by part in their order. What a sigma becomes depends on all that stands around it. */
function lowerLetters(text: string): (part: string) => string {
  const sigmas = text.toLowerCase().match(/[σς]/g)?.values()
  return (part) =>
    part
      .replace(/[Σσς]/g, (letter) => {
        const small = sigmas!.next().value!
        return letter === 'Σ' ? small : letter
      })
      .toLowerCase()
}

const capitalized = (lowered: (part: string) => string) => (text: string) => {
  const first = firstCharacter.exec(text)?.[0] ?? ''
  lowered(first)
  return titleCase(first) + lowered(text.slice(first.length))
}

/** Same length: the same characters in another case. Else all of it counts as a person's where any of it is. */
function keepWriters(value: Text, mapped: string): Text {
  return mapped.length === value.value.length ? new Text(mapped, value.spans, value.markup) : value.replaced(mapped)
}

/** Digraphs and Greek letters with an iota below have a title case of their own; Georgian letters have none. */
const titleLetters: Readonly<Record<string, string>> = Object.fromEntries([
  ['\u0149', '\u02bcN'],
  ...[0x1c5, 0x1c8, 0x1cb, 0x1f2].flatMap((digraph) =>
    [-1, 0, 1].map((i) => [String.fromCodePoint(digraph + i), String.fromCodePoint(digraph)]),
  ),
  ...[0x1f80, 0x1f90, 0x1fa0].flatMap((start) =>
    Array.from({ length: 16 }, (_, i) => [String.fromCodePoint(start + i), String.fromCodePoint(start + (i % 8) + 8)]),
  ),
  ...[
    ...['\u1fb3\u1fbc', '\u1fbc\u1fbc', '\u1fc3\u1fcc', '\u1fcc\u1fcc', '\u1ff3\u1ffc', '\u1ffc\u1ffc'],
    ...['\u1fb2\u1fba\u0345', '\u1fb4\u0386\u0345', '\u1fb7\u0391\u0342\u0345', '\u1fc2\u1fca\u0345', '\u1fc4\u0389\u0345'],
    ...['\u1fc7\u0397\u0342\u0345', '\u1ff2\u1ffa\u0345', '\u1ff4\u038f\u0345', '\u1ff7\u03a9\u0342\u0345'],
  ].map((row) => [row[0]!, row.slice(1)]),
])

function titleCase(character: string): string {
  if (Object.hasOwn(titleLetters, character)) return titleLetters[character]!
  if (/[\u10d0-\u10fa\u10fd-\u10ff]/.test(character)) return character
  const upperCase = character.toUpperCase()
  const first = firstCharacter.exec(upperCase)?.[0] ?? ''
  return first + upperCase.slice(first.length).toLowerCase()
}

const every =
  (pattern: RegExp) =>
  (value: string): boolean =>
    value !== '' && pattern.test(value)

/** Digits that are not decimal: superscripts, circled and the like. */
const otherDigits =
  '\\xb2\\xb3\\xb9\\u1369-\\u1371\\u19da\\u2070\\u2074-\\u2079\\u2080-\\u2089\\u2460-\\u2468\\u2474-\\u247c\\u2488-\\u2490\\u24ea\\u24f5-\\u24fd\\u24ff\\u2776-\\u277e\\u2780-\\u2788\\u278a-\\u2792\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}'
/** Ideographs that are numbers. */
const ideographs =
  '\\u3405\\u3483\\u382a\\u3b4d\\u4e00\\u4e03\\u4e07\\u4e09\\u4e5d\\u4e8c\\u4e94\\u4e96\\u4ebf\\u4ec0\\u4edf\\u4ee8\\u4f0d\\u4f70\\u5104\\u5146\\u5169\\u516b\\u516d\\u5341\\u5343-\\u5345\\u534c\\u53c1-\\u53c4\\u56db\\u58f1\\u58f9\\u5e7a\\u5efe\\u5eff\\u5f0c-\\u5f0e\\u5f10\\u62fe\\u634c\\u67d2\\u6f06\\u7396\\u767e\\u8086\\u842c\\u8cae\\u8cb3\\u8d30\\u9621\\u9646\\u964c\\u9678\\u96f6\\uf96b\\uf973\\uf978\\uf9b2\\uf9d1\\uf9d3\\uf9fd\\u{20001}\\u{20064}\\u{200e2}\\u{20121}\\u{2092a}\\u{20983}\\u{2098c}\\u{2099c}\\u{20aea}\\u{20afd}\\u{20b19}\\u{22390}\\u{22998}\\u{23b1b}\\u{2626d}\\u{2f890}'

export const isClass = {
  alnum: every(/^[\p{L}\p{N}]+$/u),
  alpha: every(/^\p{L}+$/u),
  decimal: every(/^\p{Nd}+$/u),
  digit: every(new RegExp(`^[\\p{Nd}${otherDigits}]+$`, 'u')),
  numeric: every(new RegExp(`^[\\p{N}${ideographs}]+$`, 'u')),
}

export function isCase(value: string, wanted: 'lower' | 'upper'): boolean {
  const other = wanted === 'lower' ? /[\p{Uppercase}\p{Lt}]/u : /[\p{Lowercase}\p{Lt}]/u
  return !other.test(value) && (wanted === 'lower' ? /\p{Lowercase}/u : /\p{Uppercase}/u).test(value)
}

export function isTitle(value: string): boolean {
  let [previousCased, anyCased] = [false, false]
  for (const character of value) {
    const isUpper = /[\p{Uppercase}\p{Lt}]/u.test(character)
    const isLower = /\p{Lowercase}/u.test(character)
    if ((isUpper && previousCased) || (isLower && !previousCased)) return false
    previousCased = isUpper || isLower
    anyCased ||= previousCased
  }
  return anyCased
}
