/** What is done about an error, wherever a request meets it: before its answer, in an answer's events, in an event of its own. */
import type { ServerContext } from './context.ts'
import { ApiError, toApiError } from './errors.ts'
import type { RequestScope } from './scope.ts'

/** Notes it in the request's record, and reports it where nobody expected it. @returns what the client is told */
export function noteFailure(
  error: unknown,
  { record, signal }: RequestScope,
  { report }: Pick<ServerContext, 'report'>,
): ApiError {
  const refusal = toApiError(error)
  if (refusal.facts.code === 'internal_error') {
    // Why work was given up is no failure of the server. As nginx counts it; nobody reads the answer.
    if (signal.aborted && record.error === 'cancelled')
      return new ApiError(499, 'invalid_request_error', 'the client is gone', { code: 'cancelled' })
    if (!signal.aborted) report(error)
  }
  record.error ??= refusal.facts.code ?? refusal.type
  return refusal
}
