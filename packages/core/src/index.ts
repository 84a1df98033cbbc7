/**
 * What every room shares, as `@parscale/core/internal`; each room is `@parscale/core/internal/ROOM`. These subpaths are for the packages of
 * this repository: their names may change at any time. What is promised stands in public/ and in docs/api.md.
 */
export {
  checkpointError,
  type ErrorFacts,
  type ErrorKind,
  hubError,
  isParscaleError,
  ParscaleError,
  resourceError,
  runtimeError,
  unsupportedError,
  usageError,
} from './errors.ts'
export { createRandom, type Random } from './random.ts'
export { anySignal, unlessAborted } from './signals.ts'
export { type Spread, spreadOf } from './spread.ts'
export { finish, finishWithPauses } from './steps.ts'
