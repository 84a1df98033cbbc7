/**
 * What random tests draw from: the same cases in every run, so that a failure is the change's and not the day's; in a nightly run others
 * each time. PARSCALE_SEED repeats a failure, or draws others.
 */
import process from 'node:process'

export const testSeed: number = Number(
  process.env.PARSCALE_SEED ?? (process.env.PARSCALE_NIGHTLY ? Date.now() % 2 ** 31 : 2505_10475),
)
