/**
 * A gate on each stream's prefix: attention to its places is multiplied by gamma (before the softmax's sum), that is, log gamma
 * is added to their scores. With gamma near 0 a prefix changes nothing yet, but the loss still has a slope in gamma.
 *
 * What is learned is g, with gamma = sqrt(g^2 + floor^2): on whichever side of 0 a step takes g, the gate opens, and it cannot
 * close for good.
 */

/**
 * The least gamma. Its square is still a normal float32. It has to be this small: in SmolLM2 the first token's score for itself
 * is so far below 0 in some heads that a gamma of 1e-9 moved logits by 0.002.
 */
export const gateFloor = 1e-15

/** Where a near-identity start begins: the slope of gamma in g is already 0.7. */
export const nearlyClosedGate = 1e-15

/** What is added to the scores of the prefix's places, in the precision of the training graph. */
export const gateScore = (g: number): number => Math.fround(Math.log(Math.hypot(g, gateFloor)))
