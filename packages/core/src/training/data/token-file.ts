/** Reads token files (token-file-format.ts) by ranges. What is in memory is where documents end, 8 bytes each. */
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { parseJsonBytes } from '../../checkpoint/json-text.ts'
import { checkpointError, type ErrorFacts, unsupportedError } from '../../errors.ts'
import { safeParse } from '../../safe-parse.ts'
import { crc32 } from './crc32.ts'
import type { EncodedDocument } from './documents.ts'
import {
  bytesPerToken,
  countedBit,
  formatVersion,
  headerBytes,
  headerMagic,
  paddedLength,
  type TokenFileMetadata,
  tokenFileMetadata,
  trailerBytes,
  trailerMagic,
} from './token-file-format.ts'

export interface TokenFile extends TokenFileMetadata {
  readonly name: string
  readonly tokens: number
  readonly documents: number
  /** Where each document ends, in tokens; the next one begins there. */
  readonly ends: Float64Array
  /** Tokens from `start` on. `counted` is there for files with a mask. @throws RangeError outside the file */
  read(start: number, length: number): Promise<EncodedDocument>
}

/**
 * Opens a token file and checks all of it but the ids, which are checked as they are read.
 *
 * @throws checkpoint error for a damaged file, unsupported error for a later version of the format
 */
export async function openTokenFile(source: ByteSource): Promise<TokenFile> {
  const { name } = source
  const width = await readHeader(source)
  const { tokens, documents, metadataBytes, checksum, counts } = await readTrailer(source)
  const endsAt = headerBytes + paddedLength(tokens * width)
  const expected = endsAt + 8 * documents + metadataBytes + trailerBytes
  if (source.size !== expected) {
    throw damaged(name, `its parts take ${expected} bytes, the file has ${source.size}`, { expected, found: source.size })
  }
  const tail = await source.read(endsAt, 8 * documents + metadataBytes)
  if (crc32(counts, crc32(tail)) !== checksum) throw damaged(name, 'its checksum does not match')
  const metadata = readMetadata(tail.subarray(8 * documents), name)
  const { vocabSize, masked } = metadata
  if (bytesPerToken(metadata) !== width) throw damaged(name, `ids of ${width} bytes do not fit a vocabulary of ${vocabSize}`)

  return {
    ...metadata,
    name,
    tokens,
    documents,
    ends: readEnds(new Uint8Array(tail.subarray(0, 8 * documents)), tokens, name),
    async read(start, length) {
      if (!(start >= 0 && length >= 0 && start + length <= tokens)) {
        throw new RangeError(`${name}: tokens ${start}..${start + length} lie outside the ${tokens} there are`)
      }
      const bytes = new Uint8Array(await source.read(headerBytes + start * width, length * width)) // aligned, and the caller's own
      const values = width === 2 ? Uint32Array.from(new Uint16Array(bytes.buffer)) : new Uint32Array(bytes.buffer)
      const ids = masked ? values.map((value) => value & (countedBit - 1)) : values
      const bad = ids.findIndex((id) => id >= vocabSize)
      if (bad >= 0) throw damaged(name, `token ${start + bad} is ${ids[bad]}, in a vocabulary of ${vocabSize}`)
      return masked ? { ids, counted: Uint8Array.from(values, (value) => value >>> 31) } : { ids }
    },
  }
}

const damaged = (name: string, how: string, facts?: ErrorFacts) =>
  checkpointError(`${name}: is no whole token file: ${how}; remove it, and it will be made anew`, { file: name, ...facts })

const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

async function readHeader(source: ByteSource): Promise<2 | 4> {
  const { name, size } = source
  if (size < headerBytes + trailerBytes) throw damaged(name, `it has only ${size} bytes`, { found: size })
  const bytes = await source.read(0, headerBytes)
  if (ascii(bytes.subarray(0, 8)) !== headerMagic) throw damaged(name, `it does not begin with ${headerMagic}`)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const [version, width] = [view.getUint32(8, true), view.getUint32(12, true)]
  if (version !== formatVersion) {
    const message = `${name}: is a token file of version ${version}; this program reads version ${formatVersion}`
    throw unsupportedError(message, { file: name, expected: formatVersion, found: version })
  }
  if (width !== 2 && width !== 4) throw damaged(name, `ids cannot take ${width} bytes`)
  return width
}

async function readTrailer(source: ByteSource) {
  const bytes = await source.read(source.size - trailerBytes, trailerBytes)
  if (ascii(bytes.subarray(24)) !== trailerMagic) throw damaged(source.name, 'its end is missing')
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return {
    // Lies about counts are found when the parts are added up: sums of so large numbers are not exact, but far too large.
    tokens: Number(view.getBigUint64(0, true)),
    documents: Number(view.getBigUint64(8, true)),
    metadataBytes: view.getUint32(16, true),
    checksum: view.getUint32(20, true),
    counts: bytes.subarray(0, 20),
  }
}

function readMetadata(bytes: Uint8Array, name: string): TokenFileMetadata {
  const parsed = safeParse(tokenFileMetadata, parseJsonBytes(bytes, `${name}: metadata`))
  if (parsed.success) return parsed.data
  const { path, message } = parsed.error.issues[0]!
  throw damaged(name, `metadata: ${path.join('.')}: ${message}`)
}

function readEnds(bytes: Uint8Array, tokens: number, name: string): Float64Array {
  const ends = Float64Array.from(new BigUint64Array(bytes.buffer), Number)
  for (let i = 0; i < ends.length; i++) {
    if (!(ends[i]! > (ends[i - 1] ?? 0))) throw damaged(name, `document ${i} ends at token ${ends[i]}, where it begins or before`)
  }
  const last = ends.at(-1) ?? 0
  if (last !== tokens) throw damaged(name, `its documents end at token ${last}, its tokens at ${tokens}`)
  return ends
}
