/** JSON numbers within bounds, as regular expressions over their digits. Bounds are compared as decimals, digit by digit. */
import { unsupportedError } from '../../../errors.ts'
import type { Budget, Pieces } from '../limits.ts'
import { type CharacterAutomaton, intersection, product } from './character-automaton.ts'
import { compileRegex } from './compile-regex.ts'
import { choice, digits, optional, type Regex, repeat, sequence, text } from './regex-tree.ts'

export interface NumberBounds {
  readonly integer: boolean
  /** Numbers that are not whole. */
  readonly fractional: boolean
  readonly min: number
  readonly max: number
  /** The bounds themselves do not count. */
  readonly minExcluded: boolean
  readonly maxExcluded: boolean
  /** Whole numbers from 1 on; each divides. */
  readonly multiplesOf: readonly number[]
}

const any = digits(0, 9)
const minus = text('-')
/** Decimals of so many digits all are different doubles. */
const exactDigits = 15
/** What JSON.stringify writes before the point at most, and what is enough for any double behind it. */
const wholeDigits = 21
const farthest = 1e21
const fractionDigits = 25
const whole = (most: number): Regex => choice(text('0'), sequence(digits(1, 9), repeat(any, 0, most - 1)))
const fraction = (most: number = fractionDigits): Regex => sequence(text('.'), repeat(any, 1, most))
/** Not whole, and of so few digits that no double nearby is. */
const broken = choice(
  ...Array.from({ length: exactDigits - 1 }, (_, i) => {
    const before = i === 0 ? any : sequence(digits(1, 9), repeat(any, i, i))
    const behind = exactDigits - 1 - i
    return choice(
      ...Array.from({ length: behind }, (_, zeros) =>
        sequence(before, text(`.${'0'.repeat(zeros)}`), digits(1, 9), repeat(any, 0, behind - zeros - 1)),
      ),
    )
  }),
)
/** From 1e-299 to below 1e300: no double is out of range. */
const scientific = sequence(
  digits(1, 9),
  optional(fraction()),
  choice(text('e'), text('E')),
  optional(choice(text('+'), minus)),
  choice(repeat(any, 1, 2), sequence(digits(1, 2), any, any)),
)

/**
 * Texts of numbers between the bounds, with label 0. Numbers with a bound or a divisor are written without an exponent.
 *
 * @param what names the bounds in errors
 */
export function* numberAutomaton(bounds: NumberBounds, what: string, budget: Budget): Pieces<CharacterAutomaton> {
  const integral = bounds.integer || bounds.multiplesOf.length > 0
  const { minExcluded, maxExcluded, ...asked } = integral ? wholeBounds(bounds, what) : bounds
  const open = asked.min === -Infinity && asked.max === Infinity
  // No number that is written without an exponent is as far away as this.
  const min = asked.min <= -farthest ? -Infinity : asked.min
  const max = asked.max >= farthest ? Infinity : asked.max
  // Near an excluded bound, a longer decimal would be rounded to the bound itself.
  const excluded = [minExcluded ? min : 0, maxExcluded ? max : 0]
    .filter((bound) => bound !== 0 && Number.isFinite(bound))
    .map(decimal)
  const places = excluded.map((bound) => exactDigits - bound.whole.length)
  if (excluded.some((bound, i) => bound.fraction.length > places[i]!)) throw inexact(what)
  const behind = Math.min(fractionDigits, ...places)
  const before = bounds.multiplesOf.length > 0 ? exactDigits : wholeDigits
  const plain = sequence(optional(minus), whole(before), ...(integral || behind === 0 ? [] : [optional(fraction(behind))]))
  const every = open && !integral ? choice(plain, sequence(optional(minus), scientific)) : plain
  const parts = [yield* compileRegex(bounds.fractional ? sequence(optional(minus), broken) : every, what, budget)]
  for (const divisor of new Set(bounds.multiplesOf)) parts.push(multiples(divisor))
  if (min === -Infinity && max === Infinity) return yield* intersection(parts, what, budget)

  const sides: CharacterAutomaton[] = []
  for (const ways of [side('', min, minExcluded, max, maxExcluded), side('-', -max, maxExcluded, -min, minExcluded)]) {
    if (!ways) continue
    const all: CharacterAutomaton[] = []
    for (const way of ways) all.push(yield* compileRegex(way, what, budget))
    sides.push(yield* intersection(all, what, budget))
  }
  if (sides.length === 0) sides.push(yield* compileRegex(choice(), what, budget))
  parts.push(yield* product(sides, { label: (labels) => Math.max(...labels) }, what, budget))
  return yield* intersection(parts, what, budget)

  /** Decimals without a sign from `low` to `high`, behind `sign`: what they have to be, all at once. */
  function side(sign: string, low: number, lowExcluded: boolean, high: number, highExcluded: boolean): Regex[] | undefined {
    if (high < 0) return undefined
    const ways = [atLeast(decimal(Math.max(low, 0)), lowExcluded && low >= 0, integral)]
    if (high < Infinity) ways.push(atMost(decimal(high), highExcluded, integral))
    return ways.map((way) => sequence(text(sign), way))
  }
}

function wholeBounds({ min, max, minExcluded, maxExcluded }: NumberBounds, what: string) {
  for (const [bound, isExcluded] of [
    [min, minExcluded],
    [max, maxExcluded],
  ] as const) {
    if (isExcluded && Number.isFinite(bound) && Math.abs(bound) >= Number.MAX_SAFE_INTEGER) throw inexact(what)
  }
  return {
    min: minExcluded ? Math.floor(min) + 1 : Math.ceil(min),
    max: maxExcluded ? Math.ceil(max) - 1 : Math.floor(max),
    minExcluded: false,
    maxExcluded: false,
  }
}

const inexact = (what: string) =>
  unsupportedError(`${what}: an excluded bound of more than ${exactDigits} digits is not supported; round it`, {
    expected: exactDigits,
  })

/** Digits of whole numbers that the divisor divides. */
function multiples(divisor: number): CharacterAutomaton {
  const breaks = [0, 0x2d, 0x2e, ...Array.from({ length: 11 }, (_, i) => 0x30 + i)]
  const states = 1 + divisor // the first, then one for each remainder
  const next = new Int32Array(states * breaks.length).fill(-1)
  next[1] = 0
  for (let state = 0; state < states; state++) {
    const rest = Math.max(0, state - 1)
    for (let digit = 0; digit < 10; digit++) next[state * breaks.length + 3 + digit] = 1 + ((10 * rest + digit) % divisor)
  }
  return { breaks, next, labels: Int32Array.from({ length: states }, (_, state) => (state === 1 ? 0 : -1)) }
}

interface Decimal {
  readonly whole: string
  /** Without zeros at its end. */
  readonly fraction: string
}

/** The shortest decimal that is this double, without an exponent. @param value finite, at least 0 */
export function decimal(value: number): Decimal {
  const [mantissa = '0', power = '0'] = value.toString().split('e')
  const [head = '0', tail = ''] = mantissa.split('.')
  const shift = Number(power)
  const all = head + tail
  const point = head.length + shift
  const padded = point <= 0 ? '0'.repeat(1 - point) + all : all.padEnd(point, '0')
  const at = Math.max(1, point)
  const whole = padded.slice(0, at).replace(/^0+(?=\d)/, '')
  return { whole, fraction: padded.slice(at).replace(/0+$/, '') }
}

// How long a number may be is said by the automaton that these are intersected with.
const someFraction = sequence(text('.'), repeat(any, 1))
const tail = (integral: boolean): Regex => (integral ? sequence() : optional(someFraction))
const nonZero = sequence(repeat(text('0'), 0), digits(1, 9), repeat(any, 0))

/** One digit from `low` to `high`, of a number of `length` digits at index `i`: no number but 0 starts with a zero. */
const digitAt = (i: number, length: number, low: number, high: number): Regex =>
  digits(i === 0 && length > 1 ? Math.max(1, low) : low, high)

function atLeast({ whole, fraction: behind }: Decimal, excluded: boolean, integral: boolean): Regex {
  const n = whole.length
  const ways: Regex[] = [sequence(digits(1, 9), repeat(any, n), tail(integral))]
  for (let i = 0; i < n; i++) {
    ways.push(
      sequence(
        text(whole.slice(0, i)),
        digitAt(i, n, Number(whole[i]) + 1, 9),
        repeat(any, n - i - 1, n - i - 1),
        tail(integral),
      ),
    )
  }
  ways.push(sequence(text(whole), fractionAtLeast(behind, excluded, integral)))
  return choice(...ways)
}

function fractionAtLeast(behind: string, excluded: boolean, integral: boolean): Regex {
  if (integral) return behind === '' && !excluded ? sequence() : choice()
  if (behind === '') return excluded ? sequence(text('.'), nonZero) : optional(someFraction)
  const ways: Regex[] = [...behind].map((digit, i) =>
    sequence(text(`.${behind.slice(0, i)}`), digits(Number(digit) + 1, 9), repeat(any, 0)),
  )
  ways.push(sequence(text(`.${behind}`), excluded ? nonZero : repeat(any, 0)))
  return choice(...ways)
}

function atMost({ whole, fraction: behind }: Decimal, excluded: boolean, integral: boolean): Regex {
  const n = whole.length
  const ways: Regex[] = []
  if (n > 1) ways.push(sequence(choice(text('0'), sequence(digits(1, 9), repeat(any, 0, n - 2))), tail(integral)))
  for (let i = 0; i < n; i++) {
    ways.push(
      sequence(
        text(whole.slice(0, i)),
        digitAt(i, n, 0, Number(whole[i]) - 1),
        repeat(any, n - i - 1, n - i - 1),
        tail(integral),
      ),
    )
  }
  ways.push(sequence(text(whole), fractionAtMost(behind, excluded, integral)))
  return choice(...ways)
}

function fractionAtMost(behind: string, excluded: boolean, integral: boolean): Regex {
  const zeros = repeat(text('0'), 0)
  if (behind === '') return excluded ? choice() : integral ? sequence() : optional(sequence(text('.'), repeat(text('0'), 1)))
  if (integral) return sequence()
  const ways: Regex[] = [sequence(), sequence(text('.'), repeat(text('0'), 1))]
  for (let i = 0; i < behind.length; i++) {
    ways.push(sequence(text(`.${behind.slice(0, i)}`), digits(0, Number(behind[i]) - 1), repeat(any, 0)))
    if (i > 0) ways.push(text(`.${behind.slice(0, i)}`))
  }
  if (!excluded) ways.push(sequence(text(`.${behind}`), zeros))
  return choice(...ways)
}
