/**
 * Masks of inverted dropout (Srivastava et al. 2014; PyTorch's `Dropout`): an element is 0 with probability `rate` and otherwise
 * 1 / (1 - rate), so that what it multiplies keeps its mean. They are fed to the gradient graph.
 *
 * A mask is drawn eight elements at a time, as one of 256 patterns, by Walker's alias method: one draw, and four writes of two
 * floats each. Element by element takes three times as long, which small models would notice.
 */
import type { Random } from '../../random.ts'

const width = 8
const patterns = 2 ** width

/** Fills a mask. Probabilities are right to 2^-24. @returns the function of one rate, with its tables */
export function dropoutMasks(rate: number): (mask: Float32Array, random: Random) => void {
  const kept = 1 / (1 - rate)
  const floats = new Float32Array(patterns * width)
  const shares = new Float64Array(patterns)
  for (let p = 0; p < patterns; p++) {
    let share = patterns
    for (let i = 0; i < width; i++) {
      const dropped = (p >> i) & 1
      floats[p * width + i] = dropped ? 0 : kept
      share *= dropped ? rate : 1 - rate
    }
    shares[p] = share
  }
  const { alias, limits } = aliasTable(shares)
  const pairs = new Float64Array(floats.buffer)
  const quarter = width / 2
  return (mask, random) => {
    const [start, key] = [random.uint32() | 0, random.uint32() | 0]
    const whole = mask.length - (mask.length % width)
    const out = new Float64Array(mask.buffer, mask.byteOffset, whole / 2)
    for (let i = 0; i < out.length; i += quarter) {
      // 32 bits from a counter (Wellons' lowbias32, a key between its rounds): five times as fast here as calling `random`.
      let draw = (start + i) | 0
      draw = Math.imul(draw ^ (draw >>> 16), 0x7feb352d)
      draw = Math.imul(draw ^ (draw >>> 15) ^ key, 0x846ca68b)
      draw ^= draw >>> 16
      const first = draw & (patterns - 1)
      // All ones where the draw is below the limit. A branch would be mispredicted every other time.
      const below = ((draw >>> width) - limits[first]!) >> 31
      const other = alias[first]!
      const from = (other ^ ((first ^ other) & below)) * quarter
      out[i] = pairs[from]!
      out[i + 1] = pairs[from + 1]!
      out[i + 2] = pairs[from + 2]!
      out[i + 3] = pairs[from + 3]!
    }
    for (let i = whole; i < mask.length; i++) mask[i] = random.uniform() < rate ? 0 : kept
  }
}

/** Of shares whose mean is 1: each entry keeps its own with the probability limit / 2^24, and else gives its alias (Vose 1991). */
function aliasTable(shares: Float64Array): { alias: Int32Array; limits: Int32Array } {
  const left = shares.slice()
  const alias = Int32Array.from(left, (_, i) => i)
  const limits = new Int32Array(left.length).fill(2 ** 24)
  const small: number[] = []
  const large: number[] = []
  for (const [i, share] of left.entries()) (share < 1 ? small : large).push(i)
  while (small.length > 0 && large.length > 0) {
    const [under, over] = [small.pop()!, large.pop()!]
    limits[under] = Math.round(left[under]! * 2 ** 24)
    alias[under] = over
    left[over]! -= 1 - left[under]!
    ;(left[over]! < 1 ? small : large).push(over)
  }
  return { alias, limits }
}
