/** Packed files in the cache: made once from a checkpoint, identified by the checkpoint's weight files, then mapped. */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { basename, dirname, join, sep } from 'node:path'
import { isQuantised } from '@parscale/core/internal/model'
import { writeWholeFolder } from '@parscale/core/internal/node/disk'
import { cachedModelFolder, fileState, type ModelCacheOptions } from '@parscale/core/internal/node/models'
import { writePacked } from './pack.ts'
import type { PackPlan } from './pack-plan.ts'

/**
 * Raised when what lies in a packed file changes without its header. Changes of the layout have a number of their own
 * (packed-layout.ts).
 */
const packingVersion = 1
const fileName = 'weights'

/**
 * The packed file of a plan, made now if it is not there, not whole or older than what it is made of.
 *
 * @param kind what the plan is of, as `backbone`; names the file for people
 * @throws as writePacked and cachedModelFolder
 */
export async function packedFile(kind: string, plan: PackPlan, options: ModelCacheOptions): Promise<string> {
  const sources = await Promise.all(sourcePaths(plan).map((path) => realpath(path)))
  const home = dirname(sources[0]!)
  const folder = await cachedModelFolder(
    {
      kind: 'packed',
      label: `${basename(home)}-${kind}`,
      source: home,
      identity: [sources, kind],
      state: [packingVersion, headerDigest(plan), ...(await Promise.all(sources.map(fileState)))],
      make: (target, { onProgress, ...options }) => {
        const write = (temporary: string) => writePacked(join(temporary, fileName), plan, { onProgress, signal: options.signal })
        return writeWholeFolder(target, write, options)
      },
    },
    { ...options, cacheDirectory: await besideCached(home, options.cacheDirectory) },
  )
  return join(folder, fileName)
}

/** What is made of a folder of the cache lies within that folder, and goes with it. */
async function besideCached(home: string, cacheDirectory: string): Promise<string> {
  const cache = await realpath(cacheDirectory).catch(() => cacheDirectory)
  return home.startsWith(cache + sep) ? home : cacheDirectory
}

function sourcePaths({ tensors }: PackPlan): string[] {
  const paths = tensors.flatMap(({ stored }) =>
    isQuantised(stored)
      ? [stored.data, stored.scales, ...(stored.zeroPoints ? [stored.zeroPoints.data] : [])].map(({ path }) => path)
      : [stored.data.path],
  )
  return [...new Set(paths)].sort()
}

/** Sizes, formats and places of all tensors are in the header, and whatever else the step knows of the model. */
const headerDigest = ({ header }: PackPlan): string => createHash('sha256').update(header).digest('hex')
