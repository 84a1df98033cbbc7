/** Numbers and colours of streams. */
import { streamHues } from '../../../packages/parscale/src/terminal/stream-colors.ts'
import type { Token } from './api.ts'

export const hue = (stream: number): readonly [number, number, number] => streamHues[stream % streamHues.length]!
export const css = (stream: number, alpha = 1): string => `rgb(${hue(stream).join(' ')} / ${alpha})`

export const leader = (weights: readonly number[]): number => weights.indexOf(Math.max(...weights))

/** -sum w ln w / ln P: 1 is an even split, 0 one stream alone. Of one stream it is 0. */
export function evenness(weights: readonly number[]): number {
  if (weights.length < 2) return 0
  const entropy = weights.reduce((sum, w) => sum - (w > 0 ? w * Math.log(w) : 0), 0)
  return entropy / Math.log(weights.length)
}

/** Share of the streams that would have said another token than the one that was written. */
export function disagreement({ id, choices }: Token): number {
  return choices.length === 0 ? 0 : choices.filter((choice) => choice.id !== id).length / choices.length
}

/** From an even split (0) to all weight on one stream (1). */
export function strength(weights: readonly number[]): number {
  const p = weights.length
  return p < 2 ? 0 : (Math.max(...weights) - 1 / p) / (1 - 1 / p)
}

export const percent = (x: number, digits = 0): string => `${(100 * x).toFixed(digits)}%`
/** Spaces and line ends as they can be seen. */
export const shown = (text: string): string =>
  text === '' ? '∅' : text.replace(/\n/g, '↵').replace(/^ | $/g, '␣').replace(/\t/g, '⇥')

export function bytes(n: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let i = 0
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000
  return `${n >= 100 || i === 0 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`
}
/** 1.57B, 42M, 8: three digits. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return 'no size'
  const units: [number, string][] = [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'K'],
  ]
  const [size, unit] = units.find(([size]) => Math.abs(value) >= size * 0.9995) ?? [1, '']
  return `${Number((value / size).toPrecision(3))}${unit}`
}
/** NaN of none. */
export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** The least and the most of any number of values: those of a long file are more than a call takes as arguments. */
export const extent = (values: readonly number[]): [least: number, most: number] =>
  values.reduce<[number, number]>(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Infinity, -Infinity],
  )
