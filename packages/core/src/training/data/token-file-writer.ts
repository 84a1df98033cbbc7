/** Writes a token file (token-file-format.ts) as a stream: 8 bytes a document stay in memory until the end. */
import type { ByteSink } from '../../checkpoint/safetensors-writer.ts'
import { usageError } from '../../errors.ts'
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
  trailerBytes,
  trailerMagic,
} from './token-file-format.ts'

export interface TokenFileWriter {
  /** Tokens written so far. */
  readonly tokens: number
  readonly documents: number
  /** @throws usage error for an id that the vocabulary does not have, or a document without tokens */
  write(document: EncodedDocument): Promise<void>
  /** Writes what comes after the tokens. Nothing can be written then. */
  finish(about: unknown): Promise<void>
}

/** @param masked documents have masks; those without one count as a whole */
export async function tokenFileWriter(
  sink: ByteSink,
  { vocabSize, masked, tokenizer }: Omit<TokenFileMetadata, 'about'>,
): Promise<TokenFileWriter> {
  const width = bytesPerToken({ vocabSize, masked })
  const ends: number[] = []
  let tokens = 0
  await sink.write(header(width))

  return {
    get tokens() {
      return tokens
    },
    get documents() {
      return ends.length
    },
    async write({ ids, counted }) {
      if (ids.length === 0) throw usageError('a document without tokens cannot be written')
      const bad = ids.findIndex((id) => id >= vocabSize)
      if (bad >= 0) throw usageError(`token id ${ids[bad]} is not in the vocabulary of ${vocabSize}`, { found: ids[bad] })
      const flagged = masked ? ids.map((id, i) => (counted?.[i] === 0 ? id : id + countedBit)) : ids
      const packed = width === 2 ? Uint16Array.from(flagged) : flagged
      await sink.write(new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength))
      tokens += ids.length
      ends.push(tokens)
    },
    async finish(about) {
      const metadata = new TextEncoder().encode(JSON.stringify({ vocabSize, masked, tokenizer, about }))
      const endBytes = new Uint8Array(BigUint64Array.from(ends, BigInt).buffer)
      await sink.write(new Uint8Array(paddedLength(tokens * width) - tokens * width))
      await sink.write(endBytes)
      await sink.write(metadata)
      await sink.write(trailer(tokens, endBytes, metadata))
    },
  }
}

function header(width: 2 | 4): Uint8Array {
  const bytes = new Uint8Array(headerBytes)
  bytes.set(new TextEncoder().encode(headerMagic))
  const view = new DataView(bytes.buffer)
  view.setUint32(8, formatVersion, true)
  view.setUint32(12, width, true)
  return bytes
}

function trailer(tokens: number, ends: Uint8Array, metadata: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(trailerBytes)
  const view = new DataView(bytes.buffer)
  view.setBigUint64(0, BigInt(tokens), true)
  view.setBigUint64(8, BigInt(ends.length / 8), true)
  view.setUint32(16, metadata.length, true)
  view.setUint32(20, crc32(bytes.subarray(0, 20), crc32(metadata, crc32(ends))), true)
  bytes.set(new TextEncoder().encode(trailerMagic), 24)
  return bytes
}
