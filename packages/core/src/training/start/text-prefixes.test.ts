import { expect, it } from 'vitest'
import type { TokenFile } from '../data/index.ts'
import { textPieces } from './text-prefixes.ts'

/** Token i of the file is i, or what `at` says. */
const fileOf = (tokens: number, at = (i: number) => i) =>
  ({
    name: 'tokens',
    tokens,
    read: async (start: number, length: number) => ({ ids: Uint32Array.from({ length }, (_, i) => at(start + i)) }),
  }) as unknown as TokenFile

it('takes a piece of each stretch of the data, by the seed', async () => {
  const pieces = await textPieces(fileOf(1000), 4, 16, 5)
  for (const [p, piece] of pieces.entries()) {
    expect(piece.length).toBe(16)
    expect(piece[0]).toBeGreaterThanOrEqual(250 * p)
    expect(piece.at(-1)).toBeLessThan(250 * (p + 1))
  }
  expect(await textPieces(fileOf(1000), 4, 16, 5)).toEqual(pieces)
  expect(await textPieces(fileOf(1000), 4, 16, 6)).not.toEqual(pieces)
})

it('takes all there is, and refuses less', async () => {
  expect((await textPieces(fileOf(64), 4, 16, 0)).map((piece) => piece[0])).toEqual([0, 16, 32, 48])
  await expect(textPieces(fileOf(63), 4, 16, 0)).rejects.toThrow(/63 tokens are too few to begin 4 prefixes of 16 as text/)
})

it('never gives two streams the same text', async () => {
  const pieces = await textPieces(
    fileOf(40, (i) => i % 3),
    3,
    4,
    0,
  )
  expect(new Set(pieces.map((piece) => piece.join())).size).toBe(3)
  await expect(
    textPieces(
      fileOf(40, () => 7),
      2,
      4,
      0,
    ),
  ).rejects.toThrow(/40 tokens are too much alike to begin 2 prefixes/)
})
