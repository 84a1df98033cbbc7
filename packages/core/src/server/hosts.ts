/** Refuses names that are not ours. A page of another site can point a name of its own to this machine (DNS rebinding); its requests say that name. */
import type { MiddlewareHandler } from 'hono'
import { ApiError } from './errors.ts'

export function hostCheck(hosts: readonly string[]): MiddlewareHandler {
  const allowed = new Set(hosts.map((host) => host.toLowerCase()))
  return async (c, next) => {
    const host = c.req.header('host') ?? new URL(c.req.url).host
    const name = host.replace(/:\d*$/, '').toLowerCase()
    if (!allowed.has(name))
      throw new ApiError(
        403,
        'invalid_request_error',
        `this server does not answer to the name ${JSON.stringify(name.slice(0, 200))}`,
        {
          code: 'unknown_host',
        },
      )
    await next()
  }
}
