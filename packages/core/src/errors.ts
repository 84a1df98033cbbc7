/**
 * The few kinds of failure that this project reports. Every message says where, what was expected, what was found and
 * what to do; the facts are fields as well, so that callers need not parse text.
 */

const marker = Symbol.for('parscale.error')

/** The kinds of failure. The command line maps each to an exit code. */
export type ErrorKind =
  /** A flag, argument or option that the caller can correct. */
  | 'usage'
  /** A file that is damaged, incomplete or lies about its contents. */
  | 'checkpoint'
  /** A well-formed thing that this version does not support, by name. */
  | 'unsupported'
  /** Not enough memory or disk. */
  | 'resource'
  /** The hub or the network in between. */
  | 'hub'
  /** The engine under us failed. */
  | 'runtime'

/** What an error is about, as fields: file, tensor or flag, what was expected and what was found. */
export interface ErrorFacts {
  readonly file?: string
  readonly tensor?: string
  readonly flag?: string
  readonly expected?: unknown
  readonly found?: unknown
  readonly cause?: unknown
}

/** Base of every error thrown on purpose. `kind` decides the exit code of the command line. */
export class ParscaleError extends Error {
  readonly [marker] = true
  readonly kind: ErrorKind
  readonly facts: ErrorFacts

  constructor(kind: ErrorKind, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause })
    this.name = 'ParscaleError'
    this.kind = kind
    this.facts = facts
  }
}

/** True for errors of this library, also across copies of the package. */
export function isParscaleError(error: unknown): error is ParscaleError {
  return typeof error === 'object' && error !== null && (error as Record<symbol, unknown>)[marker] === true
}

export const usageError = (message: string, facts?: ErrorFacts) => new ParscaleError('usage', message, facts)
export const checkpointError = (message: string, facts?: ErrorFacts) => new ParscaleError('checkpoint', message, facts)
export const unsupportedError = (message: string, facts?: ErrorFacts) => new ParscaleError('unsupported', message, facts)
export const resourceError = (message: string, facts?: ErrorFacts) => new ParscaleError('resource', message, facts)
export const hubError = (message: string, facts?: ErrorFacts) => new ParscaleError('hub', message, facts)
export const runtimeError = (message: string, facts?: ErrorFacts) => new ParscaleError('runtime', message, facts)
