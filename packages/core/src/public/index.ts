/** What every program needs: errors that say their kind, and seeded random numbers. A promised subpath: names come and go with major versions only. */
export { type ErrorFacts, type ErrorKind, isParscaleError, ParscaleError } from '../errors.ts'
export { createRandom, type Random } from '../random.ts'
