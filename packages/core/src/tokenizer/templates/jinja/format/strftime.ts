/** `datetime.strftime` with glibc's codes, in the C locale. The time zone is unknown, as that of `datetime.now()`. */
import { notSupported } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import { type Text, TextParts, text } from '../text.ts'

const months = 'January February March April May June July August September October November December'.split(' ')
const weekdays = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** A number with its least width and what fills it, or a text, or other codes that it stands for. */
type Code = (date: Date) => { readonly number: number; readonly width: number; readonly fill: '0' | ' ' } | string

const padded =
  (width: number, number: (date: Date) => number, fill: '0' | ' ' = '0'): Code =>
  (date) => ({ number: number(date), width, fill })

const dayOfYear = (date: Date): number =>
  Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) / 86_400_000)
const twelve = (date: Date): number => date.getHours() % 12 || 12
/** Weeks since the first one that begins on `firstDay`. */
const week =
  (firstDay: number) =>
  (date: Date): number =>
    Math.floor((dayOfYear(date) + 7 - ((date.getDay() - firstDay + 7) % 7)) / 7)
const weekday = (date: Date): number => date.getDay() || 7

/** ISO 8601: the week belongs to the year of its Thursday. */
function isoWeek(date: Date): { year: number; week: number } {
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 4 - weekday(date))
  return { year: thursday.getFullYear(), week: Math.floor(dayOfYear(thursday) / 7) + 1 }
}

const codes: Readonly<Record<string, Code>> = {
  a: (date) => weekdays[date.getDay()]!.slice(0, 3),
  A: (date) => weekdays[date.getDay()]!,
  b: (date) => months[date.getMonth()]!.slice(0, 3),
  h: (date) => months[date.getMonth()]!.slice(0, 3),
  B: (date) => months[date.getMonth()]!,
  C: padded(2, (date) => Math.floor(date.getFullYear() / 100)),
  d: padded(2, (date) => date.getDate()),
  e: padded(2, (date) => date.getDate(), ' '),
  f: (date) => `${String(date.getMilliseconds()).padStart(3, '0')}000`,
  g: padded(2, (date) => isoWeek(date).year % 100),
  G: padded(1, (date) => isoWeek(date).year),
  H: padded(2, (date) => date.getHours()),
  I: padded(2, twelve),
  j: padded(3, (date) => dayOfYear(date) + 1),
  k: padded(2, (date) => date.getHours(), ' '),
  l: padded(2, twelve, ' '),
  m: padded(2, (date) => date.getMonth() + 1),
  M: padded(2, (date) => date.getMinutes()),
  n: () => '\n',
  p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
  P: (date) => (date.getHours() < 12 ? 'am' : 'pm'),
  s: padded(1, (date) => Math.floor(date.getTime() / 1000)),
  S: padded(2, (date) => date.getSeconds()),
  t: () => '\t',
  u: padded(1, weekday),
  U: padded(2, week(0)),
  V: padded(2, (date) => isoWeek(date).week),
  w: padded(1, (date) => date.getDay()),
  W: padded(2, week(1)),
  y: padded(2, (date) => date.getFullYear() % 100),
  Y: padded(1, (date) => date.getFullYear()),
  z: () => '',
  Z: () => '',
  '%': () => '%',
}

const composed: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  r: '%I:%M:%S %p',
  R: '%H:%M',
  T: '%H:%M:%S',
  x: '%m/%d/%y',
  X: '%H:%M:%S',
}

/** Flags, a width and one of the modifiers E and O (which change nothing in the C locale) may stand before a code. */
const directive = /%([-_0^#]*)(\d*)([EO]?)([\s\S])/gu

export function strftime(runtime: Runtime, date: Date, format: Text): Text {
  const out = new TextParts()
  let done = 0
  for (const match of format.value.matchAll(directive)) {
    const [all, flags, width, modifier, letter] = match
    out.push(format.units(done, match.index))
    done = match.index + all.length
    const isKnown = Object.hasOwn(codes, letter!) || Object.hasOwn(composed, letter!)
    if (!isKnown && all.length === 2) out.push(format.units(match.index, done))
    else if (!isKnown || (all.length > 2 && /[cDfFrRTxXzZnt%]/.test(letter!)) || flags!.length > 1 || modifier) {
      throw notSupported(`strftime's ${all}`)
    } else out.push(written(runtime, date, letter!, flags!, Number(width)))
  }
  out.push(format.units(done, format.value.length))
  runtime.budget.make(out.length)
  return out.text()
}

function written(runtime: Runtime, date: Date, letter: string, flag: string, width: number): string {
  if (Object.hasOwn(composed, letter)) return strftime(runtime, date, text(composed[letter]!)).value
  const value = codes[letter]!(date)
  if (width > 1000) throw notSupported(`strftime's width ${width}`)
  if (typeof value === 'string') return withCase(value, letter, flag).padStart(width, flag === '0' ? '0' : ' ')
  const fill = flag === '_' ? ' ' : flag === '0' ? '0' : value.fill
  const least = flag === '-' ? width : Math.max(width, value.width)
  return String(value.number).padStart(flag === '-' ? 0 : least, fill)
}

function withCase(value: string, letter: string, flag: string): string {
  if (flag === '^') return value.toUpperCase()
  if (flag !== '#') return value
  return letter === 'p' ? value.toLowerCase() : value.toUpperCase()
}
