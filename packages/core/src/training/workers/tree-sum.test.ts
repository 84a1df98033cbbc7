/** The tree against its definition, for all numbers of leaves and workers up to some. */
import { expect, it } from 'vitest'
import { areSiblings, foldParts, leavesOf, partsOf, type Span } from './tree-sum.ts'

interface Written extends Span {
  readonly text: string
}

const add = (left: Written, right: Written): Written => ({
  start: left.start,
  end: right.end,
  text: `(${left.text}+${right.text})`,
})

/** The node of level k and number i, as the definition has it. */
function defined(k: number, i: number, leaves: number): string | undefined {
  if (i * 2 ** k >= leaves) return undefined
  if (k === 0) return `${i}`
  const [left, right] = [defined(k - 1, 2 * i, leaves), defined(k - 1, 2 * i + 1, leaves)]
  return right === undefined ? left : `(${left}+${right})`
}

const counts = Array.from({ length: 33 }, (_, i) => i + 1)

it('is the same tree, whoever adds what', () => {
  for (const leaves of counts) {
    const expected = defined(Math.ceil(Math.log2(leaves)), 0, leaves)
    for (let size = 1; size <= leaves; size++) {
      const parts = Array.from({ length: size }, (_, rank) => {
        const { start, end } = leavesOf(rank, size, leaves)
        const own = Array.from({ length: end - start }, (_, i) => ({
          start: start + i,
          end: start + i + 1,
          text: `${start + i}`,
        }))
        const folded = foldParts(own, leaves, add)
        expect(folded.map(({ start, end }) => ({ start, end }))).toEqual(partsOf({ start, end }, leaves))
        return folded
      })
      expect(
        foldParts(parts.flat(), leaves, add).map(({ text }) => text),
        `${leaves} leaves, ${size} workers`,
      ).toEqual([expected])
    }
  }
})

it('gives every worker a leaf, no two the same, none to nobody', () => {
  for (const leaves of counts) {
    for (let size = 1; size <= leaves; size++) {
      const spans = Array.from({ length: size }, (_, rank) => leavesOf(rank, size, leaves))
      expect(spans[0]!.start).toBe(0)
      expect(spans.at(-1)!.end).toBe(leaves)
      for (const [i, { start, end }] of spans.entries()) {
        expect(end).toBeGreaterThan(start)
        if (i > 0) expect(start).toBe(spans[i - 1]!.end)
      }
      if (leaves % size === 0 && (leaves & (leaves - 1)) === 0)
        expect(spans.every((span) => partsOf(span, leaves).length === 1)).toBe(true)
    }
  }
})

it('knows strangers', () => {
  expect(areSiblings({ start: 0, end: 2 }, { start: 2, end: 3 }, 4)).toBe(false)
  expect(areSiblings({ start: 0, end: 2 }, { start: 2, end: 3 }, 3)).toBe(true)
  expect(areSiblings({ start: 2, end: 4 }, { start: 4, end: 6 }, 8)).toBe(false)
  expect(areSiblings({ start: 0, end: 2 }, { start: 4, end: 6 }, 8)).toBe(false)
  expect(areSiblings({ start: 0, end: 3 }, { start: 3, end: 6 }, 6)).toBe(false)
})
