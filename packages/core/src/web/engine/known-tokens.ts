/**
 * Tokens that models are known to generate, by the digest of their backbone: greedily, in float32, for each P.
 * No second choice is nearer than 0.105 in log-probability.
 * Written by scripts/known-tokens.ts from the model that ships; test/web.test.ts holds them against Node.
 */
export const knownTokens: Readonly<
  Record<string, { readonly promptIds: readonly number[]; readonly ids: Readonly<Record<number, readonly number[]>> }>
> = {
  // packages/parscale/models/small
  '8cc6da4aca286314e7796e807af8169b2dbb71808719a4d9b42ee82dc28ba0e4': {
    promptIds: [41, 78, 260, 542, 270, 388, 421, 552],
    ids: {
      1: [399, 47, 36, 14, 364, 89, 371, 453],
      8: [399, 47, 36, 14, 199, 199, 17, 18],
    },
  },
}
