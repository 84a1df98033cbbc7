/**
 * The 67 checkpoints that the authors of ParScale published under https://huggingface.co/ParScale, as data.
 * Source: arXiv 2505.10475 (tables 1 to 5 and figure 2) and the model cards.
 */

import { editDistance } from '../terminal/nearest.ts'

/** One of the 67 checkpoints that the authors of ParScale published: name, P, size, data, purpose, licence. */
export interface PublishedModel {
  /** As on the hub: `ParScale/NAME`. */
  readonly name: string
  /** Streams. */
  readonly p: 1 | 2 | 4 | 8
  /** Parameters with embeddings, as the name says: `1.8B`. */
  readonly size: string
  /** Parameters without embeddings, as the paper counts them; undefined where it does not say. */
  readonly paperSize?: string
  readonly data: string
  readonly purpose: string
  readonly license: { readonly tag: string; readonly text: string }
}

/** All cards carry this tag, and this sentence in their text: the two do not agree, so both are shown. */
export const publishedLicense = { tag: 'apache-2.0', text: 'academic use only' } as const

const python = 'Stack-V2-Python'
const pile = 'Pile'

interface Family {
  /** With `{p}` for the number of streams. */
  readonly name: string
  readonly p: readonly PublishedModel['p'][]
  readonly size: string
  readonly paperSize?: string
  readonly data: string
  readonly purpose: string
}

const everyP = [1, 2, 4, 8] as const

/** Name and paper's count of each size trained for the scaling law. */
const lawSizes = { '0.7B': '0.5B', '0.9B': '0.7B', '1.3B': '1.1B', '1.8B': '1.6B', '3B': '2.8B', '4.7B': '4.4B' }

const general = { p: everyP, size: '1.8B', paperSize: '1.6B' }
const qwen = { size: '3B', p: everyP }
const frozen = 'Qwen2.5-3B, only streams trained'
const continued = 'Qwen2.5-3B, all parameters trained on'

const families: readonly Family[] = [
  { ...general, name: 'ParScale-1.8B-P{p}', data: '1T tokens: general, math, code', purpose: 'base' },
  { ...general, name: 'ParScale-1.8B-P{p}-Inst', data: '1T tokens, then SmolTalk', purpose: 'chat' },
  { ...qwen, name: 'ParScale-Qwen-3B-P{p}-Python', p: [2, 4, 8], data: python, purpose: frozen },
  { ...qwen, name: 'ParScale-QwenInit-3B-P{p}-Python', data: python, purpose: continued },
  { ...qwen, name: 'ParScale-QwenInit-3B-P{p}-Pile', data: pile, purpose: continued },
  ...Object.entries(lawSizes).flatMap(([size, paperSize]) => {
    const law = { p: everyP, size, paperSize, purpose: 'scaling law' }
    return [
      { ...law, name: `ParScale-${size}-P{p}-Python`, data: python },
      { ...law, name: `ParScale-${size}-P{p}-Pile`, data: pile },
    ]
  }),
]

/** The 67 checkpoints that the authors of ParScale published. */
export const publishedModels: readonly PublishedModel[] = families.flatMap(({ p: streams, name, ...family }) =>
  streams.map((p) => ({ ...family, name: `ParScale/${name.replace('{p}', String(p))}`, p, license: publishedLicense })),
)

/** Up to three published names that look like `name`, nearest first; empty when none does. */
export function suggestModels(name: string): string[] {
  const bare = (text: string) => text.slice(text.indexOf('/') + 1).toLowerCase()
  const wanted = bare(name)
  const near = publishedModels
    .map((model) => ({ name: model.name, distance: editDistance(wanted, bare(model.name)) }))
    .filter(({ distance }) => distance <= Math.max(2, wanted.length / 4))
  return near
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map((model) => model.name)
}
