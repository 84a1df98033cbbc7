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

/** What an address says; undefined where it says nothing that can be used. */
export interface FromAddress extends Partial<Omit<Traced, 'without' | 'plan'>> {
  readonly without: readonly number[]
  readonly plan: readonly Segment[]
  /** What of it is not as it was made, in sentences. */
  readonly problems: readonly string[]
}

/** Of what stands in the address. It comes last, so that an address without it was cut. */
const version = '1'
const keys = ['model', 'prompt', 'p', 'seed', 'temperature', 'tokens', 'out', 'beside', 'changes', 'v']
/** Longer ones are no addresses that a browser hands on. */
const mostPrompt = 20_000
export const bounds = {
  tokens: { least: 1, most: 10_000, whole: true },
  temperature: { least: 0, most: 2, whole: false },
  seed: { least: 0, most: 2 ** 31, whole: true },
} as const

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
    v: version,
  })
}

/** Takes what can be taken, and says what cannot. */
export function readAddress(query: URLSearchParams): FromAddress {
  const problems: string[] = []
  const quoted = (text: string) => `“${text.length > 40 ? `${text.slice(0, 40)}…` : text}”`
  const wrong = (key: string, expected: string) => {
    problems.push(`${key} is ${quoted(query.get(key)!)} where ${expected} was expected, and is left out.`)
    return undefined
  }
  const number = (key: 'tokens' | 'temperature' | 'seed'): number | undefined => {
    const text = query.get(key)
    if (text === null) return undefined
    const { least, most, whole } = bounds[key]
    const value = Number(text)
    const fits = /^[\d.]+$/.test(text) && value >= least && value <= most && (!whole || Number.isInteger(value))
    return fits ? value : wrong(key, `a ${whole ? 'whole number' : 'number'} from ${least} to ${most}`)
  }
  const streams = (parts: readonly string[]): number[] | undefined =>
    parts.every((part) => /^[1-9]\d{0,3}$/.test(part)) ? parts.map((part) => Number(part) - 1) : undefined
  const others = [...new Set(query.keys())].filter((key) => !keys.includes(key))
  if (others.length > 0) problems.push(`${quoted(others.join(', '))} in it is nothing that this version knows.`)
  const v = query.get('v')
  // One that was typed has a prompt and little else; one that was made has all of them.
  if (!v && query.has('prompt') && query.has('p') && query.has('seed'))
    problems.push('its end is missing, so it was cut on its way: the text may be another one.')
  else if (v && v !== version)
    problems.push(`it was made by another version (v is ${quoted(v)}, this one is ${version}): the text may be another one.`)
  let prompt = query.get('prompt') ?? undefined
  if (prompt !== undefined && prompt.length > mostPrompt) {
    problems.push(
      `its prompt has ${prompt.length.toLocaleString('en')} characters where at most ${mostPrompt.toLocaleString('en')} are taken, and is left out.`,
    )
    prompt = undefined
  }
  const pText = query.get('p')
  const p = pText === null ? undefined : /^[1-9]\d{0,3}$/.test(pText) ? Number(pText) : wrong('p', 'a number of streams')
  const outText = query.get('out')
  const without = outText === null ? [] : (streams(outText.split(',')) ?? wrong('out', 'numbers of streams, as in 1,3,') ?? [])
  const plan: Segment[] = []
  for (const part of query.get('changes')?.split('.') ?? []) {
    const [at = '', p = '', ...out] = part.split('-')
    const left = streams(out)
    const last = plan.at(-1)?.at ?? 0
    if (/^\d{1,5}$/.test(at) && Number(at) > last && /^[1-9]\d{0,3}$/.test(p) && left)
      plan.push({ at: Number(at), p: Number(p), without: left })
    else {
      problems.push(
        `${quoted(part)} in changes is no change of P (as 24-8-3: from token 24 on P = 8 without stream 3): it ends there.`,
      )
      break
    }
  }
  return {
    ...{ model: query.get('model') ?? undefined, prompt, p, without, plan, problems, beside: query.get('beside') === '1' },
    ...{ seed: number('seed'), temperature: number('temperature'), tokens: number('tokens') },
  } as FromAddress
}
