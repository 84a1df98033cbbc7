/** Running mean and spread of the loss, to tell a spike: a batch that would throw the model back. */
export interface LossStatistics {
  readonly count: number
  readonly mean: number
  readonly variance: number
}

export const noLosses: LossStatistics = { count: 0, mean: 0, variance: 0 }

/** About the last fifty losses count. */
const memory = 50

/** Exponentially weighted, and a plain average while there are few. */
export function withLoss({ count, mean, variance }: LossStatistics, loss: number): LossStatistics {
  const share = 1 / Math.min(count + 1, memory)
  const apart = loss - mean
  return { count: count + 1, mean: mean + share * apart, variance: (1 - share) * (variance + share * apart ** 2) }
}

/** More than `deviations` standard deviations above the mean. Never before there are enough losses to tell. */
export const isSpike = (losses: LossStatistics, loss: number, deviations: number): boolean =>
  losses.count >= memory / 2 && loss > limit(losses, deviations)

/**
 * After a spike, which counts as a loss at the limit: a single one moves the limit little, but losses that stay high are
 * taken again after some steps, and not left out for ever.
 */
export const withSpike = (losses: LossStatistics, deviations: number): LossStatistics =>
  withLoss(losses, limit(losses, deviations))

const limit = ({ mean, variance }: LossStatistics, deviations: number): number => mean + deviations * Math.sqrt(variance)
