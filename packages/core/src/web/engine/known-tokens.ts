/**
 * Tokens that models are known to generate, by the digest of their backbone: greedily, in float32, for each P. The prompt of the
 * model that ships is 'In the year of our Lord', which P = 1 continues otherwise than larger P; the second choice is nowhere nearer
 * than 0.029 in log-probability. test/web.test.ts holds them against Node.
 */
export const knownTokens: Readonly<
  Record<string, { readonly promptIds: readonly number[]; readonly ids: Readonly<Record<number, readonly number[]>> }>
> = {
  // packages/parscale/models/small
  fb83c2d12e0f3a3a102d93b8a2c956e0c2b83a8afce75ed91c336313b4a93088: {
    promptIds: [41, 78, 260, 459, 268, 342, 700, 658],
    ids: {
      1: [1867, 12, 260, 508, 268, 260, 530, 461],
      8: [337, 69, 645, 509, 14, 351, 530, 461],
    },
  },
}
