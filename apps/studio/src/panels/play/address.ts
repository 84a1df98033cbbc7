/** A trace as an address: what was asked, and where P or the streams changed. */
import type { Segment } from '../../trace.ts'

export interface Traced {
  /** Empty: the first model there is. */
  readonly model: string
  readonly prompt: string
  readonly p: number
  readonly without: readonly number[]
  readonly seed: number
  readonly temperature: number
  readonly tokens: number
  readonly beside: boolean
  readonly plan: readonly Segment[]
}

/** Streams are counted from 1 in addresses, as everywhere that people read them. */
export function addressOf({ model, prompt, p, without, seed, temperature, tokens, beside, plan }: Traced): URLSearchParams {
  const [first = { p, without }, ...changes] = plan
  const named = (streams: readonly number[]) => streams.map((stream) => stream + 1)
  return new URLSearchParams({
    ...(model !== '' && { model }),
    ...{ prompt, p: String(first.p), seed: String(seed), temperature: String(temperature), tokens: String(tokens) },
    ...(first.without.length > 0 && { out: named(first.without).join(',') }),
    ...(beside && { beside: '1' }),
    ...(changes.length > 0 && {
      changes: changes.map(({ at, p, without }) => [at, p, ...named(without)].join('-')).join('.'),
    }),
  })
}

export function numberOr(text: string | null, otherwise: number): number {
  const value = Number(text)
  return text === null || text === '' || !Number.isFinite(value) ? otherwise : value
}

export const listOf = (text: string | null): number[] =>
  (text ?? '')
    .split(',')
    .filter((part) => /^\d+$/.test(part))
    .map((part) => Number(part) - 1)

/** `24-8-3.60-1`: from token 24 on P = 8 without stream 3, from 60 on P = 1. */
export function planOf(text: string | null): Segment[] {
  return (text ?? '')
    .split('.')
    .filter((part) => /^\d+(-\d+)+$/.test(part))
    .map((part) => {
      const [at, p, ...out] = part.split('-').map(Number)
      return { at: at!, p: p!, without: out.map((stream) => stream - 1) }
    })
}
