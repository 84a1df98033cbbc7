/**
 * A tokenizer.json's decoder, as far as the supported families use one: what text or bytes each piece of the vocabulary
 * stands for, and what is cut from the start of the text. Bytes, because a character may be spread over several pieces.
 */
import { unsupportedError } from '../errors.ts'
import { pieceBytes } from './byte-level.ts'
import type { Component } from './tokenizer-json.ts'

export interface PieceDecoder {
  /** Text, or bytes of UTF-8, possibly a part of a character. `first`: the piece begins the text. */
  read(piece: string, first: boolean): string | Uint8Array
  /** How many spaces are cut from the start of the text, as far as there are that many. */
  readonly leadingSpaces: number
  /** Neighbouring bytes are valid as a whole, or each of them becomes U+FFFD (the reference's `ByteFallback`). */
  readonly wholeRuns: boolean
}

const utf8 = new TextEncoder()
/** As Rust's `u8::from_str_radix` reads two characters. */
const byteToken = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/

/** @throws unsupported error naming the decoder */
export function parseDecoder(part: Component | null, file: string): PieceDecoder {
  if (part?.type === 'ByteLevel') {
    // An added token may have characters that stand for no byte; the reference then takes the token as it is written.
    return { read: (piece) => pieceBytes(piece) ?? utf8.encode(piece), leadingSpaces: 0, wholeRuns: false }
  }
  if (part?.type === 'Metaspace') return metaspace(part)
  const steps = part?.type === 'Sequence' ? (part.decoders ?? []) : undefined
  if (steps?.length === 1 && steps[0]!.type !== 'Sequence') return parseDecoder(steps[0]!, file)
  const shown = steps && [...new Set(steps.map((step) => step.type))].slice(0, 8).join(', ')
  const found = part?.type === 'Sequence' ? `Sequence of ${shown}` : (part?.type ?? 'null')
  const decoder = steps && steps.length <= maxSteps ? sentencePiece(steps) : undefined
  if (decoder) return decoder
  const supported = `supported are ByteLevel, Metaspace, and a Sequence of up to ${maxSteps} of Replace, ByteFallback, Fuse and Strip`
  throw unsupportedError(`${file}: decoder "${found}" is not supported; ${supported}`, { file, found })
}

/** Steps of a decoder, and how long one piece may become. Published files have up to 4 steps, which do not lengthen. */
const maxSteps = 16
const maxPieceGrowth = 16

/** The mark becomes a space. In the first piece it vanishes, since encoding had put it there. */
function metaspace(part: Component): PieceDecoder {
  const mark = part.replacement ?? '▁'
  const added = part.prepend_scheme !== 'never' && part.add_prefix_space !== false
  return { read: (piece, first) => piece.replaceAll(mark, first && added ? '' : ' '), leadingSpaces: 0, wholeRuns: false }
}

/** Llama's and Mistral's: marks become spaces, `<0xE2>` becomes a byte, the whole loses its first space. */
function sentencePiece(steps: readonly Component[]): PieceDecoder | undefined {
  const replacements: { from: string; to: string }[] = []
  let byteFallback = false
  let fused = false
  let leadingSpaces = 0
  for (const step of steps) {
    const from = step.pattern && 'String' in step.pattern ? step.pattern.String : undefined
    const to = step.content
    if (step.type === 'Replace' && !fused && !byteFallback && from !== undefined && to !== undefined) {
      replacements.push({ from, to })
    } else if (step.type === 'ByteFallback' && !fused && !byteFallback) byteFallback = true
    else if (step.type === 'Fuse') fused = true
    else if (step.type === 'Strip' && fused && step.content === ' ' && !step.stop) leadingSpaces += step.start ?? 0
    else return undefined
  }
  // A replacement that lengthens would let a few steps make any length of a piece.
  const growth = replacements.reduce((product, { from, to }) => product * Math.max(1, to.length / from.length), 1)
  if (growth > maxPieceGrowth) return undefined
  const read = (piece: string): string | Uint8Array => {
    const text = replacements.reduce((result, { from, to }) => result.replaceAll(from, () => to), piece)
    const byte = byteFallback ? byteToken.exec(text)?.[1] : undefined
    return byte === undefined ? text : Uint8Array.of(Number.parseInt(byte, 16))
  }
  return { read, leadingSpaces, wholeRuns: byteFallback }
}
