/**
 * Sums in one fixed order, whoever computes which part of them: a binary tree over the step's passes (leaves), not over workers. The node of
 * level k and number i sums the leaves from i 2^k on, 2^k of them or as many as there are; it is its left child plus its right one, or its only
 * child. Float addition is not associative, so that this order is what makes N workers give the bits of one.
 */

/** Leaves from `start` up to `end`, exclusive. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Whether these two, side by side, are the children of one node of the tree over so many leaves. */
export function areSiblings(left: Span, right: Span, leaves: number): boolean {
  const size = left.end - left.start
  // One that is cut short by the end of the leaves has no right sibling.
  const whole = (size & (size - 1)) === 0 && left.start % (2 * size) === 0
  return whole && left.end === right.start && right.end === Math.min(left.start + 2 * size, leaves)
}

/** Puts the next part behind the others, and adds what belongs together. */
export function pushPart<Part extends Span>(
  parts: Part[],
  next: Part,
  leaves: number,
  add: (left: Part, right: Part) => Part,
): void {
  parts.push(next)
  for (;;) {
    const [left, right] = parts.slice(-2)
    if (!left || !right || !areSiblings(left, right, leaves)) return
    parts.splice(-2, 2, add(left, right))
  }
}

/** All parts, in the order of their leaves, added as far as they belong together: one part where they have all leaves. */
export function foldParts<Part extends Span>(
  parts: Iterable<Part>,
  leaves: number,
  add: (left: Part, right: Part) => Part,
): Part[] {
  const folded: Part[] = []
  for (const part of parts) pushPart(folded, part, leaves, add)
  return folded
}

/** The leaves of each worker: next to each other, as evenly as they go. */
export const leavesOf = (rank: number, size: number, leaves: number): Span => ({
  start: Math.floor((rank * leaves) / size),
  end: Math.floor(((rank + 1) * leaves) / size),
})

/** What a worker has when its leaves are added as far as they belong together: one part where workers and leaves are powers of two. */
export function partsOf({ start, end }: Span, leaves: number): Span[] {
  const single = Array.from({ length: end - start }, (_, i): Span => ({ start: start + i, end: start + i + 1 }))
  return foldParts(single, leaves, (left, right) => ({ start: left.start, end: right.end }))
}
