/** Secrets stay out of every message, whoever wrote it: a hub may echo the token that it was sent. */
import { isParscaleError, ParscaleError } from '@parscale/core/internal'

/** Runs `work`; no error of it holds the secret, not as it is and not as a URL or a JSON text spells it. */
export async function withoutSecret<T>(secret: string | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (secret === undefined || !isParscaleError(error)) throw error
    const { cause, ...facts } = error.facts
    throw new ParscaleError(error.kind, redact(error.message, secret), {
      ...Object.fromEntries(
        Object.entries(facts).map(([key, value]) => [key, typeof value === 'string' ? redact(value, secret) : value]),
      ),
      ...(mentions(cause, secret) ? {} : { cause }),
    })
  }
}

const redact = (text: string, secret: string): string =>
  spellings(secret).reduce((redacted, spelling) => redacted.replaceAll(spelling, '[secret]'), text)

/** Longest first, as one may stand in another. */
const spellings = (secret: string): string[] =>
  [...new Set([secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)])].sort((a, b) => b.length - a.length)

function mentions(cause: unknown, secret: string): boolean {
  for (let at = cause; at instanceof Error; at = at.cause)
    if (redact(`${at.message}${at.stack}`, secret) !== `${at.message}${at.stack}`) return true
  return false
}
