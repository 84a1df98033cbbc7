/**
 * A company's proxy between us and the hub, read from the environment as curl and Python's requests read it. Node's own `fetch`
 * does not look at these variables before Node 24, and there only when asked to; undici, of which it is made, is loaded where one is set.
 */
import { usageError } from '@parscale/core/internal'

/** A proxy without its credentials, which therefore cannot get into a message. */
export interface Proxy {
  /** As in the environment: HTTPS_PROXY. */
  readonly variable: string
  /** Without user name and password. */
  readonly url: URL
  /** The Proxy-Authorization header. */
  readonly authorization: string | undefined
  /** What redacting looks for, should the proxy send its password back. */
  readonly secrets: readonly string[]
}

export interface Proxies {
  /** Which proxy a URL is asked for through; undefined: none. */
  for(url: URL): Proxy | undefined
  readonly secrets: readonly string[]
}

/** @throws usage error for a proxy that is no http(s) URL, without showing it */
export function proxiesOf(env: Readonly<Record<string, string | undefined>>): Proxies {
  const first = (...names: string[]) => {
    const variable = names.flatMap((name) => [name.toLowerCase(), name]).find((name) => env[name]?.trim())
    return variable === undefined ? undefined : readProxy(variable, env[variable]!.trim())
  }
  const https = first('HTTPS_PROXY', 'ALL_PROXY')
  const http = first('HTTP_PROXY', 'ALL_PROXY')
  const direct = (env.no_proxy || env.NO_PROXY || '')
    .toLowerCase()
    .split(/[\s,]+/)
    .filter(Boolean)
  return {
    for: (url) => (direct.some((entry) => matches(entry, url)) ? undefined : url.protocol === 'https:' ? https : http),
    secrets: [https, http].flatMap((proxy) => proxy?.secrets ?? []),
  }
}

function readProxy(variable: string, text: string): Proxy {
  const spelled = text.includes('://') ? text : `http://${text}`
  const url = URL.canParse(spelled) ? new URL(spelled) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    const found = /^socks/i.test(text) ? '; SOCKS is not supported' : ''
    throw usageError(`${variable}: expected a URL such as http://proxy.example:3128${found}`, { flag: variable })
  }
  const { username, password } = url
  url.username = ''
  url.password = ''
  if (username === '' && password === '') return { variable, url, authorization: undefined, secrets: [] }
  const credentials = Buffer.from(`${decoded(username)}:${decoded(password)}`).toString('base64')
  // A short password, or one that is a word, would make messages unreadable, and only the proxy itself could put it there.
  const secrets = [credentials, password, decoded(password)].filter((secret) => secret.length >= 8)
  return { variable, url, authorization: `Basic ${credentials}`, secrets }
}

/** A "%" that is no escape stands for itself. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** An entry of NO_PROXY: "*", a host or a domain with all below it, either with a port. */
function matches(entry: string, { hostname, port, protocol }: URL): boolean {
  if (entry === '*') return true
  // An IPv6 address may come without brackets, and then has no port.
  const [, host = entry, wanted] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? []
  const domain = host.replace(/^\*?\./, '')
  const name = hostname.replace(/^\[|\]$/g, '')
  if (wanted !== undefined && wanted !== (port || (protocol === 'https:' ? '443' : '80'))) return false
  return domain !== '' && (name === domain.replace(/^\[|\]$/g, '') || name.endsWith(`.${domain}`))
}

/** A `fetch` that goes through proxies, and what ends its connections. */
export interface ProxiedFetch {
  readonly fetch: typeof fetch
  close(): Promise<void>
}

/** Node's own `fetch` where no proxy is set. */
export async function proxiedFetch(proxies: Proxies): Promise<ProxiedFetch> {
  if (!['http://x.invalid', 'https://x.invalid'].some((url) => proxies.for(new URL(url)))) return { fetch, close: async () => {} }
  const { Agent, Dispatcher, ProxyAgent, fetch: undiciFetch } = await import('undici')
  const direct = new Agent()
  const agents = new Map<string, InstanceType<typeof ProxyAgent>>()
  const agentFor = (origin: URL) => {
    const proxy = proxies.for(origin)
    if (!proxy) return direct
    const key = `${origin.protocol}${proxy.url.href}`
    const { url, authorization } = proxy
    // Many proxies let nobody tunnel to a port other than 443: what is not encrypted is asked of the proxy itself.
    const agent =
      agents.get(key) ?? new ProxyAgent({ uri: url.href, ...(authorization && { token: authorization }), proxyTunnel: false })
    agents.set(key, agent)
    return agent
  }
  class Router extends Dispatcher {
    override dispatch(...[options, handler]: Parameters<InstanceType<typeof Dispatcher>['dispatch']>): boolean {
      return agentFor(new URL(String(options.origin))).dispatch(options, handler)
    }
  }
  const dispatcher = new Router()
  return {
    fetch: ((url: string, init: object) => undiciFetch(url, { ...init, dispatcher })) as unknown as typeof fetch,
    async close() {
      for (const agent of [direct, ...agents.values()]) await agent.destroy()
    },
  }
}
