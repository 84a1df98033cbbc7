/** Fits that the law and the price panels share, and refits for intervals, which a worker makes. */

import { type DatasetName, type Fit, fitLaw, type LawName, lawNamed, type Point, publishedPoints } from '@parscale/core/law'
import { computed, signal } from '@preact/signals'
import type { FitAnswer, FitAsk } from './fit-worker.ts'
import type { RefitAsk } from './refit-worker.ts'

export type Source = DatasetName | 'own'
export const source = signal<Source>('stack-v2-python')
export const lawName = signal<keyof (typeof publishedStarts)['pile']>('log')
export const own = signal<{ readonly name: string; readonly points: readonly Point[]; readonly fits: FitAnswer } | undefined>(
  undefined,
)
/** As many as are fitted in a few seconds. Studies have some dozens. */
export const mostPoints = 2000

let fitting: Worker | undefined

/**
 * Fits all laws to points, and has them shown then. Points that are read meanwhile take their place.
 *
 * @throws where there are more than a page fits, or the worker cannot be fetched
 */
export async function takePoints(name: string, points: readonly Point[]): Promise<void> {
  if (points.length > mostPoints)
    throw new Error(
      `${name}: has ${points.length.toLocaleString('en')} points, and the page fits at most ${mostPoints.toLocaleString('en')}; from the command line: parscale fit ${name}`,
    )
  fitting?.terminate()
  const worker = new Worker(new URL('./fit-worker.ts', import.meta.url), { type: 'module' })
  fitting = worker
  const fits = await new Promise<FitAnswer>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FitAnswer>) => resolve(data)
    worker.onerror = (event) => {
      event.preventDefault()
      reject(
        new Error('The part of this page that fits could not be fetched: the server does not answer; try again once it does'),
      )
    }
    worker.postMessage({ laws: ['log', 'correlation', 'power'], points } satisfies FitAsk)
  })
  own.value = { name: `${name} ${Date.now()}`, points, fits }
  source.value = 'own'
}

/** Where fits to the published points end from all starts there are, to three digits: a fit that begins there takes 1 ms. */
export const publishedStarts: Readonly<
  Record<DatasetName, Readonly<Record<'log' | 'correlation' | 'power', readonly number[]>>>
> = {
  'stack-v2-python': {
    log: [0.691, 1.13e7, 0.189, 0.393],
    correlation: [0.659, 1.19e7, 0.175, 0.892],
    power: [0.856, 1.94e7, 0.369],
  },
  pile: { log: [1.29, 1.98e8, 0.196, 0.334], correlation: [1.27, 2.15e8, 0.19, 0.899], power: [1.5, 9.48e7, 0.314] },
}

const fits = new Map<string, Fit | Error>()

/** The chosen law fitted to the chosen points, or why it cannot be. */
export const fitted = computed<Fit | Error>(() => {
  const key = `${source.value} ${lawName.value} ${source.value === 'own' ? own.value?.name : ''}`
  const known = fits.get(key)
  if (known && source.value !== 'own') return known
  const points = source.value === 'own' ? (own.value?.points ?? []) : publishedPoints(source.value)
  let found: Fit | Error
  try {
    const start = source.value === 'own' ? own.value?.fits[lawName.value] : publishedStarts[source.value][lawName.value]
    if (typeof start === 'string') throw new Error(start)
    found = fitLaw(lawNamed(lawName.value), points, start && [start])
  } catch (error) {
    found = error as Error
  }
  fits.set(key, found)
  return found
})

const wanted = 200
const refits = new WeakMap<Fit, Float64Array[]>()
/** Refits of the fit that is shown, as many as there are yet. */
export const thetas = signal<readonly Float64Array[]>([])
export const refitsWanted = wanted

/** Refits until there are enough. Returns what stops it. */
export function refit(fit: Fit): () => void {
  const done = refits.get(fit) ?? []
  refits.set(fit, done)
  thetas.value = [...done]
  if (done.length >= wanted) return () => {}
  const worker = new Worker(new URL('./refit-worker.ts', import.meta.url), { type: 'module' })
  worker.onmessage = ({ data }: MessageEvent<readonly Float64Array[]>) => {
    done.push(...data)
    thetas.value = [...done]
  }
  const { law, points, theta } = fit
  const ask: RefitAsk = { law: law.name as LawName, points, theta: [...theta], done: done.length, wanted }
  worker.postMessage(ask)
  return () => worker.terminate()
}
