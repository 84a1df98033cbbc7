/** Sets of code points as sorted, disjoint, inclusive ranges: [low, high, low, high, ..]. */

export type Ranges = readonly number[]

export const largestCodePoint = 0x10ffff
export const everything: Ranges = [0, largestCodePoint]

/** The union of ranges in any order. */
export function union(...sets: readonly Ranges[]): Ranges {
  const pairs: [number, number][] = []
  for (const set of sets) for (let i = 0; i < set.length; i += 2) pairs.push([set[i]!, set[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const result: number[] = []
  for (const [low, high] of pairs) {
    if (result.length > 0 && low <= result[result.length - 1]! + 1) {
      result[result.length - 1] = Math.max(result[result.length - 1]!, high)
    } else result.push(low, high)
  }
  return result
}

export function complement(set: Ranges): Ranges {
  const result: number[] = []
  let next = 0
  for (let i = 0; i < set.length; i += 2) {
    if (set[i]! > next) result.push(next, set[i]! - 1)
    next = set[i + 1]! + 1
  }
  if (next <= largestCodePoint) result.push(next, largestCodePoint)
  return result
}

export function contains(set: Ranges, codePoint: number): boolean {
  for (let i = 0; i < set.length; i += 2) if (codePoint >= set[i]! && codePoint <= set[i + 1]!) return true
  return false
}
