/** Proxies as the environment names them: a real one in another process, and the hub's server behind it. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { proxiesOf } from './proxy.ts'
import { pullModel } from './pull-model.ts'
import { startHubServer } from './testing/hub-server.ts'
import { startProxy } from './testing/proxy-server.ts'
import { untrusted } from './testing/untrusted-certificate.ts'

const repo = 'ParScale/tiny'
const weights = Uint8Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 251)
const model = {
  commit: 'c0ffee'.padEnd(40, '0'),
  files: { 'config.json': new TextEncoder().encode('{}'), 'model.safetensors': weights },
}

let home: string
const closing: { close(): unknown }[] = []
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'parscale-proxy-'))
})
afterEach(async () => {
  for (const server of closing.splice(0)) await server.close()
  await rm(home, { recursive: true })
})
async function started<T extends { close(): unknown }>(server: Promise<T>): Promise<T> {
  closing.push(await server)
  return await server
}

const pull = (endpoint: string, env: NodeJS.ProcessEnv) =>
  pullModel(repo, { endpoint, env: { HF_HOME: home, ...env }, retry: { attempts: 2, firstDelayMs: 1, stallMs: 60_000 } })
const failure = (endpoint: string, env: NodeJS.ProcessEnv): Promise<Error> =>
  pull(endpoint, env).then(
    () => expect.fail('the pull succeeded'),
    (error: Error) => error,
  )
const shown = (error: Error) => JSON.stringify([error.message, error.stack, error, String(error.cause)])

it.each(['HTTP_PROXY', 'http_proxy', 'ALL_PROXY'])(
  '%s with a password: hub and content network are asked through it',
  async (name) => {
    const hub = await started(startHubServer({ repos: { [repo]: model } }))
    const proxy = await started(startProxy('me:p@ss/wörd'))
    const { folder } = await pull(hub.url, { [name]: `http://me:${encodeURIComponent('p@ss/wörd')}@${proxy.host}` })
    expect(new Uint8Array(await readFile(join(folder, 'model.safetensors')))).toEqual(weights)
    await expect.poll(() => proxy.asked).toHaveLength(hub.requests.length)
    expect(new Set(hub.requests.map(({ server }) => server))).toEqual(new Set(['hub', 'cdn']))
  },
)

it('NO_PROXY names hosts that are asked directly', async () => {
  const hub = await started(startHubServer({ repos: { [repo]: model } }))
  const proxy = await started(startProxy())
  await pull(hub.url, { HTTP_PROXY: proxy.host, NO_PROXY: 'localhost, 127.0.0.1' })
  await pull(`http://hub.example:${new URL(hub.url).port}`, { HTTP_PROXY: proxy.host, NO_PROXY: '127.0.0.1' })
  // What came before the first question about this name would stand before it.
  await expect.poll(() => proxy.asked[0]).toMatch(/^plain http:\/\/hub.example/)
  expect(hub.requests.length).toBeGreaterThan(2)
})

it('HTTPS_PROXY: certificates are those of the hub, checked through the tunnel', async () => {
  const proxy = await started(startProxy())
  const hub = createServer(untrusted)
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve))
  const { port } = hub.address() as AddressInfo
  const error = await failure(`https://hub.example:${port}`, {
    HTTPS_PROXY: `http://${proxy.host}`,
    HTTP_PROXY: 'http://127.0.0.1:1',
  })
  hub.closeAllConnections()
  hub.close()
  expect(error).toMatchObject({
    kind: 'hub',
    message: expect.stringMatching(/^hub.example:\d+: its certificate is not trusted \(DEPTH_ZERO/),
  })
  await expect.poll(() => proxy.asked).toEqual([`connect hub.example:${port}`])
})

it.each(['http', 'https'])(
  '%s: a password that is wrong or missing is asked for, never shown, and not tried again',
  async (scheme) => {
    const proxy = await started(startProxy('me:right'))
    const name = `${scheme.toUpperCase()}_PROXY`
    const error = await failure(`${scheme}://hub.example:4443`, { [name]: `http://me:SECRETpw@${proxy.host}` })
    expect(error).toMatchObject({
      kind: 'hub',
      message: expect.stringMatching(`the proxy ${proxy.host} of ${name} answered 407`),
    })
    expect(shown(error)).not.toMatch(/SECRETpw|bWU6U0VDUkVUcHc/)
    await expect.poll(() => proxy.asked).toHaveLength(1)
  },
)

it('a proxy that refuses, and one that is not there, are named', async () => {
  const proxy = await started(startProxy('', '403'))
  const refused = await failure('https://hub.example', { HTTPS_PROXY: proxy.host })
  expect(refused).toMatchObject({
    kind: 'hub',
    message: expect.stringMatching(/^hub.example: the proxy .* answered 403.*NO_PROXY/),
  })
  await expect.poll(() => proxy.asked).toEqual(['connect hub.example:443'])
  const gone = await failure('https://hub.example', { https_proxy: 'http://me:SECRETpw@127.0.0.1:1' })
  expect(gone.message).toContain('no connection through the proxy 127.0.0.1:1 of https_proxy (ECONNREFUSED)')
  expect(shown(gone)).not.toContain('SECRETpw')
})

it.each(['socks5://me:SECRETpw@host:1080', 'http://me:SECRETpw@', 'ftp://me:SECRETpw@host', 'http://me:SECRETpw@host:99999'])(
  '%s is refused without showing it',
  async (url) => {
    const error = await failure('https://hub.example', { HTTPS_PROXY: url })
    expect(error).toMatchObject({ kind: 'usage', message: expect.stringContaining('HTTPS_PROXY') })
    expect(shown(error)).not.toContain('SECRETpw')
  },
)

it.each([
  ['hub.example', 'https://hub.example', true],
  ['example', 'https://hub.example', true],
  ['.hub.example', 'https://hub.example', true],
  ['*.example', 'https://hub.example', true],
  ['ub.example', 'https://hub.example', false],
  ['HUB.example:443', 'https://hub.example', true],
  ['hub.example:80', 'https://hub.example', false],
  ['other, [::1]', 'https://[::1]:8080', true],
  ['::1', 'https://[::1]:8080', true],
  ['*', 'https://hub.example', true],
  ['', 'https://hub.example', false],
])('NO_PROXY=%s for %s: %s', (entries, url, direct) => {
  expect(proxiesOf({ HTTPS_PROXY: 'proxy:3128', NO_PROXY: entries }).for(new URL(url)) === undefined).toBe(direct)
})
