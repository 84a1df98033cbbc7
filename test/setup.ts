/** Property tests draw the same cases every time, so that a failure is the change's and not the day's. PARSCALE_SEED=N draws others. */
import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.PARSCALE_SEED ?? 2505_10475) })
