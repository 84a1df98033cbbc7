/**
 * How alike the streams' errors are, and what averaging such streams is worth (arXiv 2505.10475, Proposition 1).
 *
 * The paper writes a stream's probability of a token as p (1 + d_i), with p the true one and d_i the relative residual, of
 * mean 0 under p. Then, to second order in d,
 *
 *   L_i - E = E[d_i^2] / 2             E the entropy of the text: the floor that no model gets below
 *   E[(d_i - d_j)^2] = D_ij            D_ij the mean square of (loss_i - loss_j), token by token
 *
 * and so the correlation of the residuals needs no knowledge of p beyond E:
 *
 *   rho_ij = E[d_i d_j] / sqrt(E[d_i^2] E[d_j^2]) = ((L_i - E) + (L_j - E) - D_ij / 2) / (2 sqrt((L_i - E) (L_j - E)))
 *
 * E is rarely known. For streams of equal loss rho falls as E rises, so E = 0 bounds it from above; what averaging is
 * worth, in nats, does not depend on E.
 */
import { usageError } from '../../errors.ts'

export interface StreamCorrelation {
  /** E, in nats a token. */
  readonly floor: number
  /** rho_ij, [P][P]; limited to [-1, 1], which the approximation can leave. */
  readonly rho: readonly (readonly number[])[]
  /** Over the pairs. */
  readonly meanRho: number
  /**
   * Pearson's coefficient of the losses themselves over the tokens, [P][P]. High for all streams that read the same text,
   * because what is hard is hard for each of them; NaN where a loss never varies.
   */
  readonly lossCorrelation: readonly (readonly number[])[]
  /** ((P - 1) rho + 1) / P with the mean rho: what is left of one stream's reducible loss. */
  readonly factor: number
  /** E + factor (L - E), L the mean loss of one stream alone. */
  readonly predictedLoss: number
}

/**
 * @param losses of each stream alone, token by token: [P][T], P >= 2, T >= 2
 * @param floor E in nats a token
 * @throws usage error when the floor is not below every stream's loss
 */
export function correlateStreams(losses: readonly Float64Array[], floor = 0): StreamCorrelation {
  const P = losses.length
  const reducible = losses.map((list) => meanOf(list) - floor)
  const least = Math.min(...reducible)
  if (!(least > 0)) {
    throw usageError(
      `--floor ${floor}: must be below the loss of every stream alone; stream ${reducible.indexOf(least) + 1} has ${(least + floor).toFixed(4)}`,
      { flag: 'floor', found: floor },
    )
  }
  const pairs = (figure: (i: number, j: number) => number) =>
    losses.map((_, i) => losses.map((_, j) => (i === j ? 1 : figure(i, j))))
  const rho = pairs((i, j) => {
    const [a, b] = [reducible[i]!, reducible[j]!]
    const apart = meanOf(losses[i]!.map((loss, t) => (loss - losses[j]![t]!) ** 2))
    return Math.max(-1, Math.min(1, (a + b - apart / 2) / (2 * Math.sqrt(a * b))))
  })
  const meanRho = (rho.flat().reduce((sum, x) => sum + x, 0) - P) / (P * (P - 1))
  const factor = ((P - 1) * meanRho + 1) / P
  return {
    floor,
    rho,
    meanRho,
    lossCorrelation: pairs((i, j) => pearson(losses[i]!, losses[j]!)),
    factor,
    predictedLoss: floor + factor * meanOf(Float64Array.from(reducible)),
  }
}

export const meanOf = (values: Float64Array): number => values.reduce((sum, x) => sum + x, 0) / values.length

function pearson(a: Float64Array, b: Float64Array): number {
  const [meanA, meanB] = [meanOf(a), meanOf(b)]
  let [product, squareA, squareB] = [0, 0, 0]
  for (let t = 0; t < a.length; t++) {
    const [x, y] = [a[t]! - meanA, b[t]! - meanB]
    product += x * y
    squareA += x * x
    squareB += y * y
  }
  return product / Math.sqrt(squareA * squareB)
}
