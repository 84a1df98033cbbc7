/**
 * Keys and values that streams share, so that the cache of P streams is little larger than that of one.
 *
 * With a window of W own tokens, token t of stream p > 0 attends to
 *
 *   the keys and values of stream p   of its prefix, and of the tokens t - W + 1 .. t,
 *   the keys and values of stream 0   of all tokens before these that it sees at all,
 *
 * in one softmax. Stream 0 attends to its own. What a stream has to keep is its prefix and W tokens, so a context of C tokens takes
 * C + (P - 1) min(W, C) positions of the KV cache, not P C. Like the sliding window of PHD-Transformer (arXiv 2504.14992); Parallel Loop
 * Transformer (arXiv 2510.24824) has two softmaxes, one over each, that a gate mixes.
 *
 * The prefix stays a stream's own: it is what tells streams apart, there is one for all sequences, and it does not grow with the context.
 * A token is itself among the window, so a stream never lacks what it has just computed.
 *
 * Here as elsewhere rows know nothing of streams: they are fed masks, and the first row's keys and values stand behind their own.
 */
import type { ParscaleConfig } from './config.ts'

/** Whether rows attend to keys and values of others. */
export const sharesKeys = ({ parscale }: { readonly parscale: ParscaleConfig }): boolean => parscale.ownWindow !== null

/** How many of T tokens from the first on lie outside of the window of some other of them: those of stream 0 that others attend to. */
export const sharedPositions = ({ ownWindow }: ParscaleConfig, T: number): number =>
  ownWindow === null ? 0 : Math.max(0, T - ownWindow)
