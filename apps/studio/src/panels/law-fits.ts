/** Fits that the law and the price panels share, and refits for intervals, made in pieces so that the page stays awake. */

import {
  bootstrap,
  type DatasetName,
  type Fit,
  fitLaw,
  type LawName,
  lawNamed,
  type Point,
  publishedPoints,
} from '@parscale/core/law'
import { computed, signal } from '@preact/signals'

export type Source = DatasetName | 'own'
export const source = signal<Source>('stack-v2-python')
export const lawName = signal<LawName>('log')
export const own = signal<{ readonly name: string; readonly points: readonly Point[] } | undefined>(undefined)

const fits = new Map<string, Fit | Error>()

/** The chosen law fitted to the chosen points, or why it cannot be. */
export const fitted = computed<Fit | Error>(() => {
  const key = `${source.value} ${lawName.value} ${source.value === 'own' ? own.value?.name : ''}`
  const known = fits.get(key)
  if (known && source.value !== 'own') return known
  const points = source.value === 'own' ? (own.value?.points ?? []) : publishedPoints(source.value)
  let found: Fit | Error
  try {
    found = fitLaw(lawNamed(lawName.value), points)
  } catch (error) {
    found = error as Error
  }
  fits.set(key, found)
  return found
})

const wanted = 200
const atOnce = 4
const refits = new WeakMap<Fit, Float64Array[]>()
/** Refits of the fit that is shown, as many as there are yet. */
export const thetas = signal<readonly Float64Array[]>([])
export const refitsWanted = wanted

/** Refits until there are enough, between the page's own work. Returns what stops it. */
export function refit(fit: Fit): () => void {
  let stopped = false
  const done = refits.get(fit) ?? []
  refits.set(fit, done)
  thetas.value = [...done]
  const more = () => {
    if (stopped || done.length >= wanted) return
    try {
      // Seeds of their own, so that pieces are no repetitions.
      done.push(...bootstrap(fit, { count: atOnce, seed: done.length + 1 }))
    } catch {
      return
    }
    if (done.length % 20 === 0 || done.length >= wanted) thetas.value = [...done]
    setTimeout(more, 0)
  }
  setTimeout(more, 50)
  return () => {
    stopped = true
  }
}
