/** Packed files in the cache: made once from a checkpoint, identified by what is in the checkpoint's weight files, then mapped. */
import { createHash } from 'node:crypto'
import { realpath, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { isQuantised, type StoredData } from '@parscale/core/internal/model'
import { writeWholeFolder } from '@parscale/core/internal/node/disk'
import { cachedModelFolder, contentOf, type ModelCacheOptions } from '@parscale/core/internal/node/models'
import { writePacked } from './pack.ts'
import type { PackPlan } from './pack-plan.ts'
import { packedWeightsText } from './packed-layout.ts'

/**
 * Raised when what lies in a packed file changes without its header, as where other integers are made of the same floats. Changes of
 * the layout have a number of their own (packed-layout.ts).
 */
const packingVersion = 3
const fileName = 'weights'

/**
 * The packed file of a plan, made now if it is not there, not whole or of other content. Files with the same content share one,
 * whatever their names: sizes, formats and places of all tensors are in the header, and so what was made of that content.
 *
 * @param kind what the plan is of, as `backbone`; names the file for people
 * @throws as writePacked and cachedModelFolder
 */
export async function packedFile(
  kind: string,
  plan: PackPlan,
  { threads = availableParallelism(), ...options }: ModelCacheOptions & { readonly threads?: number },
): Promise<string> {
  const { onProgress, signal } = options
  const sources = await sourcePaths(plan)
  const cacheDirectory = await besideCached(dirname(sources[0]!), options.cacheDirectory)
  const sizes = await Promise.all(sources.map(async (path) => (await stat(path)).size))
  const toHash = sizes.reduce((sum, size) => sum + size, 0)
  // What takes a blink shows nothing.
  const isLong = toHash > 64 << 20
  let hashed = 0
  const onBytes = (bytes: number) => {
    if (!isLong) return
    hashed += bytes
    onProgress?.({ doneBytes: hashed, totalBytes: toHash + plan.totalBytes })
  }
  const contents = []
  for (const source of sources) contents.push(await contentOf(source, { cacheDirectory, signal, onBytes }))
  const content = createHash('sha256').update(contents.join()).digest('hex').slice(0, 24)
  const folder = await cachedModelFolder(
    {
      kind: 'packed',
      label: kind,
      source: sources.length === 1 && sources[0]!.endsWith('.gguf') ? sources[0]! : dirname(sources[0]!),
      origin: { content, weights: packedWeightsText(plan.tensors.map(({ layout }) => layout)), engine: 'native' },
      identity: [content, kind, createHash('sha256').update(plan.header).digest('hex')],
      state: [packingVersion],
      make: (target, { onProgress, ...writing }) => {
        const write = (temporary: string) =>
          writePacked(join(temporary, fileName), plan, threads, {
            signal: writing.signal,
            onProgress: ({ doneBytes, totalBytes }) =>
              onProgress?.({ doneBytes: hashed + doneBytes, totalBytes: hashed + totalBytes }),
          })
        return writeWholeFolder(target, write, writing)
      },
    },
    { ...options, cacheDirectory },
  )
  if (hashed > 0) onProgress?.({ doneBytes: hashed + plan.totalBytes, totalBytes: hashed + plan.totalBytes })
  return join(folder, fileName)
}

/** What is made of a folder of the cache lies within that folder, and goes with it. */
async function besideCached(home: string, cacheDirectory: string): Promise<string> {
  const cache = await realpath(cacheDirectory).catch(() => cacheDirectory)
  return home.startsWith(cache + sep) ? home : cacheDirectory
}

/** The files that a plan's weights lie in or are made of, in the order of their tensors: the same for the same content. */
async function sourcePaths({ tensors }: PackPlan): Promise<string[]> {
  const parts = tensors.flatMap(({ stored }): StoredData[] =>
    isQuantised(stored) ? [stored.data, stored.scales, ...(stored.zeroPoints ? [stored.zeroPoints.data] : [])] : [stored.data],
  )
  const paths = new Set(parts.flatMap(({ path, made }) => made?.madeFrom ?? [path]))
  return [...new Set(await Promise.all([...paths].map((path) => realpath(path))))]
}
