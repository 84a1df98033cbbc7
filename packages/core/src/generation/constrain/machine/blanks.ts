/**
 * Blanks between the parts of JSON: nothing, one space, or a line feed and up to so many spaces or tabs. Where more may come, a
 * weak model fills its answer with them.
 */
const mostIndent = 32
/** States of blanks: 0 none yet, 1 a space, 2 + n a line feed and n blanks. */
export function afterBlank(state: number, byte: number): number {
  if (state === 0 && byte === 0x20) return 1
  if (state === 0 && byte === 0x0a) return 2
  if (state >= 2 && state < 2 + mostIndent && (byte === 0x20 || byte === 0x09)) return state + 1
  return -1
}
