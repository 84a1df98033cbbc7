/** The cache's entries as people read them. */
import { basename, resolve } from 'node:path'
import type { CacheEntry } from '@parscale/core/internal/node/models'
import type { Download } from '../hub/downloads.ts'
import { formatAmount } from '../terminal/progress.ts'
import { textTable } from '../terminal/text-table.ts'

/** `packed/backbone-0123456789ab` of `packed/backbone-0123456789ab-0123456789ab`, whose end is the format's version. */
export const shortName = (name: string): string => name.replace(/(-[0-9a-f]{12})-[0-9a-f]{12}$/, '$1')

/** The model that a stream set in it belongs to; else what it says. */
const modelOf = (source: string): string => source.replace(/[\\/]streams[\\/][^\\/]+$/, '')

/** Whether a name means this entry: its own, long or short, or the model that it was made of, by its path or the last part of it. */
export function isOf({ name, source }: CacheEntry, wanted: string): boolean {
  if ([name, shortName(name)].includes(wanted)) return true
  return (
    source !== undefined &&
    [source, modelOf(source)].some((path) => [path, basename(path), resolve(path)].includes(wanted) || path === resolve(wanted))
  )
}

export function entryTable(entries: readonly CacheEntry[], width: number | undefined): string {
  // Nearly always all are whole: then there is nothing to say.
  const notable = entries.some(({ state, inUse }) => state !== 'whole' || inUse)
  const head = ['NAME', 'MADE OF', 'WEIGHTS', 'SIZE', 'LAST USED']
  return textTable([[...head, ...(notable ? ['STATE'] : [])], ...entries.map((entry) => row(entry, notable))], {
    width,
    drop: ['LAST USED', 'MADE OF'],
  })
}

const longest = 20

function row({ name, sizeBytes, lastUsed, state, source, weights = '', inUse }: CacheEntry, notable: boolean): string[] {
  const from = source === undefined ? 'unknown' : basename(modelOf(source))
  const used = lastUsed.toISOString().slice(0, 10)
  const made = from.length > longest ? `${from.slice(0, longest - 1)}…` : from
  return [shortName(name), made, weights, formatAmount(sizeBytes, 'B'), used, ...(notable ? [inUse ? 'in use' : state] : [])]
}

export const downloadTable = (downloads: readonly Download[], width: number | undefined): string =>
  textTable([['NAME', 'SIZE'], ...downloads.map(({ name, sizeBytes }) => [name, formatAmount(sizeBytes, 'B')])], { width })

export const names = (entries: readonly { readonly name: string }[]): string =>
  entries.map(({ name }) => shortName(name)).join(', ')

export const total = (entries: readonly CacheEntry[]): string =>
  `${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}, ${formatAmount(
    entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    'B',
  )}`
