/** Refuses what pages of other sites ask: an image's address needs no permission of ours, and would load a model. */
import type { MiddlewareHandler } from 'hono'
import { ApiError } from './errors.ts'

/** @param origins that may ask, `*` for all; a page of this server always may */
export function originCheck(origins: readonly string[]): MiddlewareHandler {
  const any = origins.includes('*')
  return async (c, next) => {
    const origin = c.req.header('origin')
    const host = c.req.header('host') ?? new URL(c.req.url).host
    // The scheme may be a balancer's, so only names are compared.
    const foreign =
      origin === undefined
        ? c.req.header('sec-fetch-site') === 'cross-site'
        : !origins.includes(origin) && origin.replace(/^https?:\/\//, '').toLowerCase() !== host.toLowerCase()
    if (foreign && !any)
      throw new ApiError(
        403,
        'invalid_request_error',
        `this server does not answer pages of ${JSON.stringify((origin ?? 'other sites').slice(0, 200))}; --cors ORIGIN allows them`,
        { code: 'unknown_origin' },
      )
    await next()
  }
}
