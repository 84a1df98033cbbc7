/** What every room shares. Everything else has its own subpath: see docs/architecture.md. */
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
export { type Spread, spreadOf } from './spread.ts'
export { finish, finishWithPauses } from './steps.ts'
