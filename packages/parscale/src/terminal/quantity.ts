/** Numbers with units on the command line: 1.6B parameters, 8GiB of memory, 20ms. */
import { InvalidArgumentError } from '@commander-js/extra-typings'

const counts = { k: 1e3, m: 1e6, b: 1e9, t: 1e12 }
const bytes = { b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12, kib: 2 ** 10, mib: 2 ** 20, gib: 2 ** 30, tib: 2 ** 40 }
const times = { s: 1, ms: 1e-3, us: 1e-6 }
const bits = { bit: 1 / 8, kbit: 1e3 / 8, mbit: 1e6 / 8, gbit: 1e9 / 8, tbit: 1e12 / 8 }

/** 1571472384, 1.6e9, 1.6B, 42B tokens as 42B. */
export const countArgument = (text: string) => parse(text, counts, 'such as 1.6B, 535M or 1571472384')
/** 8GiB, 512MB, 80e9. */
export const bytesArgument = (text: string) => parse(text, bytes, 'such as 8GiB or 512MB')
/** 20ms, 0.02s, 0.02. */
export const secondsArgument = (text: string) => parse(text, times, 'such as 20ms or 0.02s')
/** 10Gbit a second as bytes a second; a number alone counts bits. */
export const bandwidthArgument = (text: string) =>
  parse(/^[\d.e+]+$/i.test(text.trim()) ? `${text}bit` : text, bits, 'such as 10Gbit or 200Mbit (a second)')

/** 5%, 0.05; 0 is one. */
export function shareArgument(text: string): number {
  const [, digits, percent] = /^(\d*\.?\d+)\s*(%?)$/.exec(text.trim()) ?? []
  const share = Number(digits) / (percent ? 100 : 1)
  if (digits === undefined || !(share <= 1)) throw new InvalidArgumentError('expected a share from 0 to 1, such as 5% or 0.05.')
  return share
}

function parse(text: string, units: Readonly<Record<string, number>>, examples: string): number {
  const [, digits = '', unit = ''] = /^([\d.]+(?:e[+-]?\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = unit === '' ? 1 : units[unit.toLowerCase()]
  const value = Number(digits) * (factor ?? Number.NaN)
  if (digits === '' || !(value > 0 && value < Infinity))
    throw new InvalidArgumentError(`expected a number greater than 0, ${examples}.`)
  return value
}

/** `1 token`, `2 tokens`. */
export const counted = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`

/** 1,2,4,8 as numbers. */
export function countList(text: string): number[] {
  const list = text.split(',').map((part) => Number(part.trim()))
  if (list.some((value) => !Number.isSafeInteger(value) || value < 1))
    throw new InvalidArgumentError('expected whole numbers, such as 1,2,4,8.')
  return list
}
