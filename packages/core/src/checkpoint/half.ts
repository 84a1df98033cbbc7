/**
 * Half precision by bits: F16 is IEEE binary16, BF16 the upper half of a float32. Everything works on bit patterns, so
 * that the payload of a NaN survives widening and no engine gets to canonicalise it.
 */

/** The float32 bits of a binary16 value; exact. */
export function halfToFloatBits(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >>> 10) & 0x1f
  const mantissa = half & 0x3ff
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13)
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13)
  if (mantissa === 0) return sign
  // Subnormal: 2^-24 times the mantissa is a normal float32. Shift the leading one to where it is implicit.
  const shift = Math.clz32(mantissa) - 21
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13)
}

/** The binary16 bits nearest to a float32 given by its bits, ties to even. Too large becomes infinity; NaN stays NaN. */
export function floatBitsToHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fffffff
  // NaN keeps the upper payload bits; the quiet bit keeps it from turning into infinity.
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff)
  // 65520 is halfway between the largest half, 65504, and what would be the next.
  if (magnitude >= 0x477ff000) return sign | 0x7c00
  // Below 2^-14 the result is subnormal, a multiple of 2^-24.
  if (magnitude < 0x38800000) {
    const shift = 126 - (magnitude >>> 23)
    if (shift > 25) return sign
    return sign | roundShift((magnitude & 0x7fffff) | 0x800000, shift)
  }
  return sign | roundShift(magnitude - 0x38000000, 13)
}

/** The bfloat16 bits nearest to a float32 given by its bits, ties to even. */
export function floatBitsToBfloat(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** value / 2^shift to the nearest integer, ties to even. */
function roundShift(value: number, shift: number): number {
  const kept = value >>> shift
  const rest = value & ((1 << shift) - 1)
  const half = 1 << (shift - 1)
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept
}

let halfTable: Uint32Array | undefined

/** Float32 bits of many halves; by table, which is several times faster than the arithmetic. */
export function widenHalves(halves: Uint16Array, out: Uint32Array): void {
  halfTable ??= Uint32Array.from({ length: 0x10000 }, (_, half) => halfToFloatBits(half))
  for (let i = 0; i < halves.length; i++) out[i] = halfTable[halves[i]!]!
}

/** Float32 bits of many bfloat16 values. */
export function widenBfloats(bfloats: Uint16Array, out: Uint32Array): void {
  for (let i = 0; i < bfloats.length; i++) out[i] = bfloats[i]! << 16
}

/** Nearest halves of many float32, given by their bits. */
export function narrowToHalves(floats: Uint32Array, out: Uint16Array): void {
  for (let i = 0; i < floats.length; i++) out[i] = floatBitsToHalf(floats[i]!)
}

/** Nearest bfloat16 values of many float32, given by their bits. */
export function narrowToBfloats(floats: Uint32Array, out: Uint16Array): void {
  for (let i = 0; i < floats.length; i++) out[i] = floatBitsToBfloat(floats[i]!)
}
