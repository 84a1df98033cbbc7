/** What opening a model as files would write into the cache. */
import type { Checkpoint } from '@parscale/core/internal/checkpoint'
import { unwrittenCopy } from '@parscale/core/internal/contents'
import { hasGgufFolder, hasQuantisedFolder, openStreamed } from '@parscale/core/internal/node/models'
import { cacheFolder, resolveModel } from './find-model.ts'
import { madeOf, type OpenOptions } from './open-model.ts'
import { precisionOf } from './precision.ts'

export interface PlannedFolder {
  readonly backbone: Checkpoint
  readonly streamSets: readonly Checkpoint[]
  readonly bytes: number
}

/** The model as openModel would write it into the cache, and its bytes there. Undefined where openModel writes nothing. @throws as openModel */
export async function planFolder(model: string | undefined, options: OpenOptions = {}): Promise<PlannedFolder | undefined> {
  const path = await resolveModel(model, options.env, options)
  const precision = await precisionOf(path, options)
  if (precision === 'asItIs') return undefined
  const made = await madeOf(path, precision)
  const cache = { cacheDirectory: cacheFolder(options.env) }
  if (await (made === 'floats' ? hasGgufFolder(path, cache) : hasQuantisedFolder(path, made, cache))) return undefined
  const { backbone, streamSets } = await openStreamed(path, made === 'floats' ? undefined : made)
  await Promise.all([backbone, ...streamSets].map((folder) => folder.close()))
  const all = [backbone, ...streamSets].flatMap(({ tensors, otherTensors }) => [...tensors.values(), ...otherTensors.values()])
  return {
    backbone: unwrittenCopy(backbone),
    streamSets: streamSets.map(unwrittenCopy),
    bytes: all.reduce((sum, { byteLength }) => sum + byteLength, 0),
  }
}
