/**
 * The alphabet of byte-level tokenizers: each of the 256 bytes written as one printable character, so that a vocabulary
 * can be kept as text. From GPT-2 (openai/gpt-2, src/encoder.py, `bytes_to_unicode`).
 */

/** Bytes that stand for themselves: printable, and no space. */
const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)

/** `byteCharacters[byte]`. The other bytes get the characters from U+0100 on, in order: the space becomes `Ġ`. */
export const byteCharacters: readonly string[] = writeBytes()

const byteOf: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]))

function writeBytes(): string[] {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isPrintable(byte) ? byte : next++))
}

/** The bytes that a piece of a byte-level vocabulary stands for; undefined where it has a character of no byte. */
export function pieceBytes(piece: string): Uint8Array | undefined {
  const bytes = new Uint8Array(piece.length)
  for (let i = 0; i < piece.length; i++) {
    const byte = byteOf.get(piece[i]!)
    if (byte === undefined) return undefined
    bytes[i] = byte
  }
  return bytes
}

/** A special token as tokenizer.json lists it under `added_tokens`. */
export const specialTokenEntry = (content: string, id: number) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
})
