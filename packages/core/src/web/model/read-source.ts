/** From a source to files on this machine: what is kept, what has to be fetched, and whether it can run before it is. */
import type { WeightSettings } from '../../checkpoint/index.ts'
import { checkpointError, usageError } from '../../errors.ts'
import type { MemoryEstimate } from '../../model/index.ts'
import { type Blobs, keepFiles, openKept, readIntoMemory } from '../kept/keep.ts'
import { keyOf } from '../kept/storage.ts'
import { isUnreachable } from '../sources/http.ts'
import { hubSource } from '../sources/hub.ts'
import { blobSource, filesSource, folderSource } from '../sources/local.ts'
import { byteSource, type ModelSource, type SourceFile } from '../sources/source.ts'
import { urlSource } from '../sources/url.ts'
import type { BrowserLoadOptions, BrowserSource } from '../types.ts'
import { availableBytes, memoryOf, requireMemory } from './memory.ts'
import { blobFiles, type Files, outlineConverted } from './open.ts'

export interface ReadModel {
  readonly name: string
  readonly gguf: boolean
  readonly blobs: Blobs
  readonly estimate: MemoryEstimate
  /** Key under which it is kept. */
  readonly key?: string
  readonly notes: readonly string[]
}

/** @throws usage error for a source that is none; as `ModelSource.list`, requireMemory, keepFiles and openFolder */
export async function readSource(options: BrowserLoadOptions, settings: WeightSettings | undefined): Promise<ReadModel> {
  const { source, signal, onProgress } = options
  onProgress?.({ stage: 'look' })
  if ('kept' in source) return await readKept(source.kept, options, settings)
  const from = modelSource(source)
  const { cache = 'url' in source || 'hub' in source } = options
  let files: readonly SourceFile[]
  try {
    files = await from.list(signal)
  } catch (error) {
    if (!isUnreachable(error) || cache === false) throw error
    const key = keyOf(from.identity)
    if (!(await openKept(key))) throw error
    const read = await readKept(key, options, settings)
    return { ...read, notes: [`What is kept runs: ${from.name} cannot be reached.`] }
  }
  const estimate = await estimateOf(remoteFiles(from.name, files, signal), from.gguf, options, settings)
  const progress = (file: string, done: number, total: number | undefined) =>
    onProgress?.({ stage: 'fetch', file, done, ...(total !== undefined && { total }) })
  const reading = { signal, onProgress: progress }
  const { name, gguf } = from
  if (cache === false) return { name, gguf, blobs: await readIntoMemory(files, reading), estimate, notes: [] }
  const { blobs, key, note } = await keepFiles(from, files, { ...reading, reload: cache === 'reload' })
  return { name, gguf, blobs, estimate, ...(key !== undefined && { key }), notes: note === undefined ? [] : [note] }
}

async function readKept(key: string, options: BrowserLoadOptions, settings: WeightSettings | undefined): Promise<ReadModel> {
  const kept = await openKept(key)
  if (!kept)
    throw checkpointError(
      `kept model ${key}: is not there, or not whole: the browser may have deleted it to make room; load it from its source again`,
      { found: key },
    )
  const { name, gguf } = kept.manifest
  const estimate = await estimateOf(blobFiles(name, kept.blobs), gguf, options, settings)
  return { name, gguf, blobs: kept.blobs, estimate, key, notes: [] }
}

async function estimateOf(
  files: Files,
  gguf: boolean,
  options: BrowserLoadOptions,
  settings: WeightSettings | undefined,
): Promise<MemoryEstimate> {
  const { backbone, streamSets } = await outlineConverted(files, gguf, settings)
  const estimate = memoryOf(backbone, streamSets, options)
  requireMemory(files.name, estimate, availableBytes())
  return estimate
}

function modelSource(source: BrowserSource): ModelSource {
  if ('url' in source) return urlSource(source.url, source.headers)
  if ('hub' in source) return hubSource(source)
  if ('files' in source) return filesSource(source.files)
  if ('folder' in source) return folderSource(source.folder)
  if ('gguf' in source) return blobSource(source.gguf, source.gguf.name)
  throw usageError('source: expected one of url, hub, files, folder, gguf and kept', {
    flag: 'source',
    found: Object.keys(source),
  })
}

/** Headers by Range, small files whole. */
function remoteFiles(name: string, files: readonly SourceFile[], signal?: AbortSignal): Files {
  const sources = new Map<string, ReturnType<typeof byteSource>>()
  const byPath = new Map(files.map((file) => [file.path, file]))
  return {
    name,
    paths: [...byPath.keys()],
    source(path) {
      const found = sources.get(path) ?? byteSource(byPath.get(path)!, `${name}/${path}`, signal)
      sources.set(path, found)
      return found
    },
  }
}
