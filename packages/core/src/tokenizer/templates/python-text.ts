/** Methods of Python's `str` that templates call, where the template library's differ from Python's. */

/** What `str.isspace` says is white space. JavaScript's `\s` has U+FEFF and lacks U+001C to U+001F and U+0085. */
const whitespace = '\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'

export type StripSide = 'strip' | 'lstrip' | 'rstrip'

export const isStrip = (name: string): name is StripSide => name === 'strip' || name === 'lstrip' || name === 'rstrip'

/** Python's `strip`, `lstrip`, `rstrip`: takes away white space, or any of `characters`, from the ends. */
export function strip(text: string, side: StripSide, characters?: string): string {
  const inSet = characters === undefined ? isWhitespace : (character: string) => characters.includes(character)
  let start = 0
  let end = text.length
  if (side !== 'rstrip') while (start < end && inSet(text[start]!)) start++
  if (side !== 'lstrip') while (end > start && inSet(text[end - 1]!)) end--
  return text.slice(start, end)
}

const whitespacePattern = new RegExp(`[${whitespace}]`)
const isWhitespace = (character: string): boolean => whitespacePattern.test(character)

/** Python's `strftime` in the C locale, for the codes that templates use. */
export function strftime(date: Date, format: string): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  const codes: Readonly<Record<string, () => string>> = {
    Y: () => String(date.getFullYear()),
    m: () => two(date.getMonth() + 1),
    d: () => two(date.getDate()),
    B: () => months[date.getMonth()]!,
    b: () => months[date.getMonth()]!.slice(0, 3),
    A: () => weekdays[date.getDay()]!,
    a: () => weekdays[date.getDay()]!.slice(0, 3),
    H: () => two(date.getHours()),
    M: () => two(date.getMinutes()),
    S: () => two(date.getSeconds()),
    '%': () => '%',
  }
  return format.replace(/%(.)/g, (all, code: string) => (Object.hasOwn(codes, code) ? codes[code]!() : all))
}

const months = 'January February March April May June July August September October November December'.split(' ')
const weekdays = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')
