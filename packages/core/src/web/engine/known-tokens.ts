/**
 * Tokens that models are known to generate, by the digest of their backbone: greedily, in float32, for each P.
 * No second choice is nearer than 0.104 in log-probability.
 * Written by scripts/known-tokens.ts from the model that ships; test/web.test.ts holds them against Node.
 */
export const knownTokens: Readonly<
  Record<string, { readonly promptIds: readonly number[]; readonly ids: Readonly<Record<number, readonly number[]>> }>
> = {
  // packages/parscale/models/small
  '8cc6da4aca286314e7796e807af8169b2dbb71808719a4d9b42ee82dc28ba0e4': {
    promptIds: [718, 274, 65, 483, 360, 270, 260, 340, 524],
    ids: {
      1: [83, 270, 260, 692, 601, 12, 276, 260],
      8: [83, 270, 260, 277, 363, 366, 442, 270],
    },
  },
}
