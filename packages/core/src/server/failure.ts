/** What is done about an error, wherever a request meets it: before its answer, in an answer's events, in an event of its own. */
import type { ServerContext } from './context.ts'
import { type ApiError, toApiError } from './errors.ts'
import type { RequestScope } from './scope.ts'

/** Notes it in the request's record, and reports it where nobody expected it. @returns what the client is told */
export function noteFailure(
  error: unknown,
  { record, signal }: RequestScope,
  { report }: Pick<ServerContext, 'report'>,
): ApiError {
  const refusal = toApiError(error)
  if (refusal.facts.code === 'internal_error' && !signal.aborted) report(error)
  record.error ??= refusal.facts.code ?? refusal.type
  return refusal
}
