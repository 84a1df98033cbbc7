/** Decompresses pages, and makes no more of one than its format allows. */
import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { decompress as decompressZstd } from 'fzstd'
import { compressors } from 'hyparquet-compressors'

interface Codec {
  readonly name: string
  /** Bytes that a compressed one can become, by the format. */
  readonly growth: number
  decompress(bytes: Uint8Array, length: number): Uint8Array
}

/** A page of more than this may not have more than `mostGrowth` times its compressed bytes. */
const freeBytes = 128 << 20
const mostGrowth = 1100

/** By their numbers in the footer. */
const codecs: readonly (Codec | undefined)[] = [
  { name: 'none', growth: 1, decompress: (bytes) => bytes },
  // Three bytes copy up to 64.
  { name: 'Snappy', growth: 64 / 3, decompress: decompressSnappy },
  { name: 'gzip', growth: 1032, decompress: (bytes, length) => gunzipSync(bytes, zlibOptions(length)) },
  undefined, // LZO
  {
    name: 'Brotli',
    growth: Number.POSITIVE_INFINITY,
    decompress: (bytes, length) => brotliDecompressSync(bytes, zlibOptions(length)),
  },
  { name: 'LZ4', growth: 255, decompress: compressors.LZ4! },
  // A block of four bytes may stand for 128 KiB.
  { name: 'Zstandard', growth: 2 ** 15, decompress: decompressZstdPage },
  { name: 'LZ4', growth: 255, decompress: compressors.LZ4_RAW! },
]

/** @throws Error for a codec that is unknown, for bytes that are damaged or not of this length */
export function decompressPage(codec: number, bytes: Uint8Array, length: number): Uint8Array {
  const found = codecs[codec]
  if (!found)
    throw new Error(
      `its pages are compressed in a way that is not read (${codec === 3 ? 'LZO' : codec}); write it with Zstandard`,
    )
  if (length === 0) return new Uint8Array(0)
  const most = Math.min(found.growth * bytes.length + 64, Math.max(freeBytes, mostGrowth * bytes.length))
  if (length > most) throw new Error(`a page of ${length} bytes cannot come of ${bytes.length}, compression: ${found.name}`)
  const page = found.decompress(bytes, length)
  if (page.length !== length) throw new Error(`a page has ${page.length} bytes, its header says ${length}`)
  return page
}

/** The output grows with what there is. */
const zlibOptions = (length: number) => ({ maxOutputLength: length, chunkSize: Math.min(Math.max(length, 64), 1 << 20) })

/** The decompressor writes as much as the block itself says. */
function decompressSnappy(bytes: Uint8Array, length: number): Uint8Array {
  let says = 0
  for (let i = 0; i < 5; i++) {
    const byte = bytes[i] ?? 0
    says += (byte & 127) * 128 ** i
    if (byte < 128) break
  }
  if (says !== length) throw new Error(`a page has ${says} bytes, its header says ${length}`)
  return compressors.SNAPPY!(bytes, length)
}

/** Into room of the right size: else the decompressor takes as much as a frame's header says (RFC 8878, 3.1.1.1). */
function decompressZstdPage(bytes: Uint8Array, length: number): Uint8Array {
  const descriptor = bytes[4] ?? 0
  const isSingle = (descriptor & 32) !== 0
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  const at = (isSingle ? 5 : 6) + [0, 1, 2, 4][descriptor & 3]!
  if (sizeBytes > 0) {
    let says = sizeBytes === 2 ? 256 : 0
    for (let i = 0; i < sizeBytes; i++) says += (bytes[at + i] ?? 0) * 256 ** i
    if (says !== length) throw new Error(`a page has ${says} bytes, its header says ${length}`)
  }
  return decompressZstd(bytes, new Uint8Array(length))
}
