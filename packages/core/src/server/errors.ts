/** Errors as OpenAI's clients know them: a status, and a body with message, type, param and code. */
import { type ErrorKind, isParscaleError } from '../errors.ts'

export interface ApiErrorFacts {
  /** The request's field that is wrong. */
  readonly param?: string
  readonly code?: string
  /** Seconds after which it is worth trying again. */
  readonly retryAfter?: number
}

export class ApiError extends Error {
  readonly status: number
  readonly type: string
  readonly facts: ApiErrorFacts

  constructor(status: number, type: string, message: string, facts: ApiErrorFacts = {}) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.type = type
    this.facts = facts
  }

  get body() {
    const { param = null, code = null } = this.facts
    return { error: { message: this.message, type: this.type, param, code } }
  }
}

export const invalid = (message: string, param?: string, code?: string) =>
  new ApiError(400, 'invalid_request_error', message, { ...(param && { param }), ...(code && { code }) })

/** What is well-formed, and this server does not do. */
export const unsupported = (message: string, param: string) => invalid(message, param, 'unsupported_value')

export const contextExceeded = (message: string, param: string) => invalid(message, param, 'context_length_exceeded')

export const notFound = (message: string, code: string, param?: string) =>
  new ApiError(404, 'invalid_request_error', message, { code, ...(param && { param }) })

export const wrongMethod = (method: string, path: string, allowed: readonly string[]) =>
  new ApiError(405, 'invalid_request_error', `${path} takes ${allowed.join(' and ')}, not ${method.slice(0, 20)}`, {
    code: 'method_not_allowed',
  })

/** Too much to do at the moment. Clients try again by themselves. */
export const overloaded = (message: string, code: string, retryAfter = 1) =>
  new ApiError(503, 'server_error', message, { code, retryAfter })

export const queueFull = (waiting: number, most: number) =>
  overloaded(`${waiting} requests are waiting, and at most ${most} may; try again`, 'queue_full')

export const serverEnding = () =>
  overloaded('this server is ending; another one, or this one started again, will answer', 'server_ending')

const statusOf: Readonly<Record<ErrorKind, number>> = {
  usage: 400,
  unsupported: 400,
  checkpoint: 500,
  resource: 503,
  hub: 502,
  runtime: 500,
}

/** What went wrong as an answer. Of what nobody expected nothing but its kind is told. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  if (!isParscaleError(error))
    return new ApiError(500, 'server_error', 'the server failed; its log says why', { code: 'internal_error' })
  const status = statusOf[error.kind]
  if (status === 400) return new ApiError(400, 'invalid_request_error', error.message, { code: error.kind })
  return new ApiError(status, 'server_error', error.message, { code: error.kind, ...(status === 503 && { retryAfter: 5 }) })
}
