/** Secrets stay out of every message, whoever wrote it: a hub may echo the token that it was sent. */
import { isParscaleError, ParscaleError } from '@parscale/core/internal'

/** Runs `work`; no error of it holds one of the secrets, not as it is and not as a URL or a JSON text spells it. */
export async function withoutSecrets<T>(secrets: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (secrets.length === 0 || !isParscaleError(error)) throw error
    const { cause, ...facts } = error.facts
    throw new ParscaleError(error.kind, redact(error.message, secrets), {
      ...Object.fromEntries(
        Object.entries(facts).map(([key, value]) => [key, typeof value === 'string' ? redact(value, secrets) : value]),
      ),
      ...(mentions(cause, secrets) ? {} : { cause }),
    })
  }
}

const redact = (text: string, secrets: readonly string[]): string =>
  spellings(secrets).reduce((redacted, spelling) => redacted.replaceAll(spelling, '[secret]'), text)

/** Longest first, as one may stand in another. */
const spellings = (secrets: readonly string[]): string[] =>
  [...new Set(secrets.flatMap((secret) => [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]))].sort(
    (a, b) => b.length - a.length,
  )

function mentions(cause: unknown, secrets: readonly string[]): boolean {
  for (let at = cause; at instanceof Error; at = at.cause)
    if (redact(`${at.message}${at.stack}`, secrets) !== `${at.message}${at.stack}`) return true
  return false
}
