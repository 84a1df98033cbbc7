/** A model's files where they lie, before they are read: named, measured, and read in ranges or as a stream. */
import type { ByteSource } from '../../checkpoint/index.ts'
import { checkpointError } from '../../errors.ts'

export interface SourceFile {
  /** Below the model's folder: `streams/p8/config.json`. */
  readonly path: string
  /** Bytes; undefined where the server does not say. */
  readonly size: number | undefined
  /** In hex, where the source knows it. */
  readonly sha256?: string | undefined
  /** Another one where the content is another: an ETag, or when it was changed. */
  readonly tag?: string | undefined
  /** The file as it lies on this machine. */
  readonly blob?: Blob
  /** The bytes from `from` on, to `to` at least; what comes may begin at 0 instead, where the server cannot do otherwise. */
  open(
    from: number,
    options?: { readonly to?: number; readonly signal?: AbortSignal | undefined },
  ): Promise<{ readonly from: number; readonly stream: ReadableStream<Uint8Array> }>
}

export interface ModelSource {
  /** For people and errors. */
  readonly name: string
  /** Tells it from every other source; what is kept is found by it. */
  readonly identity: string
  /** A single .gguf file rather than a folder. */
  readonly gguf: boolean
  /** @throws hub error where it cannot be reached; checkpoint error where there is no model */
  list(signal?: AbortSignal): Promise<readonly SourceFile[]>
}

/** Small files that a page needs; cards and Python code it does not. */
const companion =
  /^(config|generation_config|special_tokens_map|added_tokens|vocab|chat_template|tokenizer|tokenizer_config|model\.safetensors\.index)\.json$|^merges\.txt$|^chat_template\.jinja$/
const weights = /^[\w.-]+\.safetensors$/
const streamFolder = /^streams\/[\w.-]+\/$/

/** Whether a file of a listing is needed to run the model, its stream sets included. */
export function isNeeded(path: string): boolean {
  const folder = path.slice(0, path.lastIndexOf('/') + 1)
  const name = path.slice(folder.length)
  return (folder === '' || streamFolder.test(folder)) && (companion.test(name) || weights.test(name))
}

/** @throws checkpoint error for a listing without config.json */
export function neededFiles(files: readonly SourceFile[], name: string): SourceFile[] {
  const needed = files.filter(({ path }) => isNeeded(path))
  if (!needed.some(({ path }) => path === 'config.json')) {
    const some = files.slice(0, 3).map(({ path }) => path)
    throw checkpointError(
      `${name}: config.json is missing, so this is no model’s folder${some.length > 0 ? ` (it has ${some.join(', ')})` : ''}; a folder of Hugging Face’s layout or a .gguf file is needed`,
      { file: name },
    )
  }
  return needed
}

/** Bytes that one request asks for: the headers of a model come in one or two. */
const pieceBytes = 1 << 20

/** Reads ranges of a file, in pieces that are kept: for headers, which are read in many small steps. */
export function byteSource(file: SourceFile, name: string, signal?: AbortSignal): ByteSource {
  const { size, blob } = file
  if (size === undefined) throw checkpointError(`${name}: the server does not say how long it is`, { file: name })
  const pieces = new Map<number, Promise<Uint8Array>>()
  const readPiece = async (index: number): Promise<Uint8Array> => {
    const start = index * pieceBytes
    const length = Math.min(pieceBytes, size - start)
    if (blob) return new Uint8Array(await blob.slice(start, start + length).arrayBuffer())
    const { from, stream } = await file.open(start, { to: start + length, signal })
    return await take(stream, start - from, length, name)
  }
  const piece = (index: number) => {
    let found = pieces.get(index)
    if (!found) {
      found = readPiece(index)
      pieces.set(index, found)
    }
    return found
  }
  return {
    name,
    size,
    async read(offset, length) {
      if (!(offset >= 0 && length >= 0 && offset + length <= size))
        throw new RangeError(`${name}: bytes ${offset}..${offset + length} lie outside the ${size} there are`)
      if (blob) return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer())
      const bytes = new Uint8Array(length)
      for (let at = offset; at < offset + length; ) {
        const index = Math.floor(at / pieceBytes)
        const from = at - index * pieceBytes
        const part = (await piece(index)).subarray(from, from + offset + length - at)
        bytes.set(part, at - offset)
        at += part.length
      }
      return bytes
    },
  }
}

/** Leaves the stream once it has what it wants. */
async function take(stream: ReadableStream<Uint8Array>, skip: number, length: number, name: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const reader = stream.getReader()
  let at = -skip
  try {
    while (at < length) {
      const { done, value } = await reader.read()
      if (done) throw checkpointError(`${name}: ended ${length - at} bytes early`, { file: name })
      const part = value.subarray(Math.max(0, -at), Math.max(0, length - at))
      bytes.set(part, Math.max(0, at))
      at += value.length
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
  return bytes
}
