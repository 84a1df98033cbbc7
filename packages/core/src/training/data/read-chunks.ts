/** Byte sources as streams: chunks, and lines, of which no more is in memory than needed. */
import type { ByteSource } from '../../checkpoint/byte-source.ts'

const chunkBytes = 2 ** 20

export async function* sourceChunks(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < source.size; at += chunkBytes) {
    signal?.throwIfAborted()
    yield source.read(at, Math.min(chunkBytes, source.size - at))
  }
}

export interface Line {
  /** Counts from 1. */
  readonly number: number
  /** Without the line feed. Undefined for a line longer than allowed, whose bytes are dropped as they come. */
  readonly bytes: Uint8Array | undefined
}

/** Lines end with a line feed; the last one need not. */
export async function* sourceLines(source: ByteSource, maxLineBytes: number, signal?: AbortSignal): AsyncGenerator<Line> {
  const line = lineBuffer(maxLineBytes)
  let number = 1
  for await (const chunk of sourceChunks(source, signal)) {
    let start = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      line.append(chunk.subarray(start, end))
      yield { number: number++, bytes: line.take() }
      start = end + 1
    }
    line.append(chunk.subarray(start))
  }
  if (line.length() > 0) yield { number, bytes: line.take() }
}

function lineBuffer(maxBytes: number) {
  let parts: Uint8Array[] = []
  let length = 0
  return {
    length: () => length,
    append(bytes: Uint8Array): void {
      length += bytes.length
      if (length > maxBytes) parts = []
      else if (bytes.length > 0) parts.push(bytes)
    },
    take(): Uint8Array | undefined {
      const bytes = length > maxBytes ? undefined : joined(parts, length)
      parts = []
      length = 0
      return bytes
    },
  }
}

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1) return parts[0]!
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
