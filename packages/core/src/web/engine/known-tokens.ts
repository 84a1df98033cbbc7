/** Tokens that models are known to generate, by the digest of their backbone: greedily, in float32. */
export const knownTokens: Readonly<
  Record<string, { readonly promptIds: readonly number[]; readonly ids: Readonly<Record<number, readonly number[]>> }>
> = {}
