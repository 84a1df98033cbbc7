/**
 * Tokens that models are known to generate, by the digest of their backbone: greedily, in float32, for each P.
 * No second choice is nearer than 0.314 in log-probability.
 * Written by scripts/known-tokens.ts from the model that ships; test/web.test.ts holds them against Node.
 */
export const knownTokens: Readonly<
  Record<string, { readonly promptIds: readonly number[]; readonly ids: Readonly<Record<number, readonly number[]>> }>
> = {
  // packages/parscale/models/small
  fb83c2d12e0f3a3a102d93b8a2c956e0c2b83a8afce75ed91c336313b4a93088: {
    promptIds: [34, 89, 260, 1043, 345],
    ids: {
      1: [1328, 12, 284, 260, 530, 461, 12, 284],
      8: [1328, 12, 284, 260, 530, 461, 367, 405],
    },
  },
}
