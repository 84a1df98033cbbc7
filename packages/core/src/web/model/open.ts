/** Opens a model from files: behind a network to look at its headers, or as blobs to run it. */
import { sha256 } from '@noble/hashes/sha2.js'
import {
  type ByteSource,
  type OpenCheckpoint,
  openCheckpoint,
  verifySameBackbone,
  type WeightSettings,
  writeSafetensors,
} from '../../checkpoint/index.ts'
import {
  checkpointContents,
  type FolderContents,
  ggufContents,
  type ModelContents,
  quantisationPlan,
  quantisedContents,
  streamedCheckpoint,
} from '../../contents/index.ts'
import type { Blobs } from '../kept/keep.ts'

/** Names of files, and how each is read. */
export interface Files {
  /** For errors. */
  readonly name: string
  readonly paths: readonly string[]
  source(path: string): ByteSource
}

/** A backbone with its stream sets. */
export interface Opened {
  readonly backbone: OpenCheckpoint
  readonly streamSets: readonly OpenCheckpoint[]
}

export interface OpenedBlobs extends Opened {
  /** The bytes behind a tensor's source, by its name. */
  blob(name: string): Blob
}

export const blobFiles = (name: string, blobs: Blobs): Files => ({
  name,
  paths: [...blobs.keys()],
  source: (path) => blobSource(blobs.get(path)!, `${name}/${path}`),
})

const blobSource = (blob: Blob, name: string): ByteSource => ({
  name,
  size: blob.size,
  async read(offset, length) {
    if (!(offset >= 0 && length >= 0 && offset + length <= blob.size))
      throw new RangeError(`${name}: bytes ${offset}..${offset + length} lie outside the ${blob.size} there are`)
    return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer())
  },
})

/** Reads config.json and headers, of the stream sets too. @throws as openCheckpoint */
export async function openFolder({ name, paths, source }: Files): Promise<Opened> {
  const open = (folder: string) =>
    openCheckpoint({
      path: folder === '' ? name : `${name}/${folder.slice(0, -1)}`,
      async readText(file) {
        if (!paths.includes(folder + file)) return undefined
        const bytes = source(folder + file)
        return new TextDecoder().decode(await bytes.read(0, bytes.size))
      },
      openSource: async (file) => (paths.includes(folder + file) ? source(folder + file) : undefined),
    })
  const folders = paths.flatMap((path) => /^(streams\/[^/]+\/)config\.json$/.exec(path)?.[1] ?? []).sort()
  const backbone = await open('')
  return { backbone, streamSets: await Promise.all(folders.map(open)) }
}

/** What a model will be once its matrices are as `settings` say; from headers alone. @throws as ggufContents, quantisationPlan */
export async function outlineConverted(files: Files, gguf: boolean, settings: WeightSettings | undefined): Promise<Opened> {
  if (gguf) {
    const contents = await ggufContents(files.source(files.paths[0]!))
    return { backbone: streamedCheckpoint(contents, settings ?? 'stored', []), streamSets: [] }
  }
  const opened = await openFolder(files)
  if (!settings) return opened
  return { ...opened, backbone: streamedCheckpoint(checkpointContents(opened.backbone, new Map()), settings, []) }
}

/**
 * Opens blobs to run them, converted where that is asked for: a .gguf file's integers are kept, and become blobs of memory.
 *
 * @throws checkpoint error for damaged files and stream sets of another backbone; as quantisedContents
 */
export async function openBlobs(
  name: string,
  blobs: Blobs,
  gguf: boolean,
  settings: WeightSettings | undefined,
  signal?: AbortSignal,
): Promise<OpenedBlobs> {
  const files = blobFiles(name, blobs)
  const converted = gguf || settings ? await convert(files, gguf, settings, signal) : blobs
  const opened = await openFolder(blobFiles(name, converted))
  await verifySameBackbone(opened.backbone, opened.streamSets, { ...hashing, signal })
  return { ...opened, blob: (path) => converted.get(path.slice(name.length + 1))! }
}

const hashing = { sha256: () => sha256.create() }

async function convert(files: Files, gguf: boolean, settings: WeightSettings | undefined, signal?: AbortSignal): Promise<Blobs> {
  const blobs = new Map<string, Blob>()
  await write(blobs, '', await convertedContents(files, gguf, settings, signal), signal)
  return blobs
}

async function convertedContents(
  files: Files,
  gguf: boolean,
  settings: WeightSettings | undefined,
  signal?: AbortSignal,
): Promise<FolderContents> {
  const options = { ...hashing, signal }
  if (gguf) {
    const contents = await ggufContents(files.source(files.paths[0]!))
    const plan = quantisationPlan(contents, settings ?? 'stored')
    return plan.matrices.length > 0 ? await quantisedContents(contents, plan, new Map(), options) : contents
  }
  const { backbone, streamSets } = await openFolder(files)
  const contents: ModelContents = checkpointContents(backbone, await smallFiles(files, ''))
  const sets = new Map<string, { checkpoint: OpenCheckpoint; files: Map<string, Uint8Array> }>()
  for (const checkpoint of streamSets) {
    const folder = checkpoint.path.slice(files.name.length + 1)
    sets.set(folder, { checkpoint, files: await smallFiles(files, `${folder}/`) })
  }
  return await quantisedContents(contents, quantisationPlan(contents, settings!), sets, options)
}

async function smallFiles({ paths, source }: Files, folder: string): Promise<Map<string, Uint8Array>> {
  const small = new Map<string, Uint8Array>()
  for (const path of paths) {
    const name = path.slice(folder.length)
    if (!path.startsWith(folder) || name.includes('/') || /\.safetensors(\.index\.json)?$/.test(name)) continue
    const bytes = source(path)
    small.set(name, await bytes.read(0, bytes.size))
  }
  return small
}

async function write(blobs: Map<string, Blob>, folder: string, contents: FolderContents, signal?: AbortSignal): Promise<void> {
  for (const [name, bytes] of contents.files) blobs.set(folder + name, new Blob([bytes as Uint8Array<ArrayBuffer>]))
  const sink = new BlobSink(signal)
  await writeSafetensors(sink, contents.tensors)
  blobs.set(`${folder}model.safetensors`, sink.blob())
  for (const [path, inner] of contents.folders ?? []) await write(blobs, `${folder}${path}/`, inner, signal)
}

/** Pieces become blobs, which the browser may put on its disk, before they are many. */
class BlobSink {
  readonly #blobs: Blob[] = []
  readonly #signal: AbortSignal | undefined
  #parts: Uint8Array<ArrayBuffer>[] = []
  #bytes = 0

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.#signal?.throwIfAborted()
    this.#parts.push(bytes.slice())
    this.#bytes += bytes.length
    if (this.#bytes >= 1 << 24) this.#join()
  }

  blob(): Blob {
    this.#join()
    return new Blob(this.#blobs)
  }

  #join(): void {
    this.#blobs.push(new Blob(this.#parts))
    ;[this.#parts, this.#bytes] = [[], 0]
  }
}
