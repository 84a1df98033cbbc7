/** Hubs and networks in between that are slow, changing or not what they seem. Real sockets; nothing wrong gets a final name. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type PullOptions, pullModel } from './pull-model.ts'
import { type Fault, type HubRepo, type HubServer, type HubServerOptions, startHubServer } from './testing/hub-server.ts'
import { untrusted } from './testing/untrusted-certificate.ts'

const repo = 'ParScale/tiny'
const weights = Uint8Array.from({ length: 50_000 }, (_, i) => (i * 7919) % 251)
const model: HubRepo = {
  commit: 'c0ffee'.padEnd(40, '0'),
  files: { 'config.json': new TextEncoder().encode('{}'), 'model.safetensors': weights },
}

let home: string
const servers: HubServer[] = []
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'parscale-rewriting-'))
})
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
  await rm(home, { recursive: true })
})

async function hub(options: Partial<HubServerOptions> = {}): Promise<HubServer> {
  const server = await startHubServer({ repos: { [repo]: model }, ...options })
  servers.push(server)
  return server
}

const retry = { attempts: 2, firstDelayMs: 1, stallMs: 60_000 }
const pull = (endpoint: string, options: PullOptions = {}) =>
  pullModel(repo, { endpoint, env: { HF_HOME: home, HF_HUB_CACHE: join(home, 'hub') }, retry, ...options })
const failed = (endpoint: string, options?: PullOptions): Promise<Error> =>
  pull(endpoint, options).then(
    () => expect.fail('the pull succeeded'),
    (error: Error) => error,
  )
const onWeights =
  (fault: Fault): HubServerOptions['fault'] =>
  ({ server, url }) =>
    server === 'cdn' && url.includes('safetensors') ? fault : undefined
const blobs = () => readdir(join(home, 'hub', 'models--ParScale--tiny', 'blobs')).catch(() => [])
const weightsIn = async (folder: string) => new Uint8Array(await readFile(join(folder, 'model.safetensors')))

describe('slow', () => {
  it('a byte at a time is given up, with the rate, and goes on where it was', async () => {
    const server = await hub({ fault: onWeights({ kind: 'drip', everyMs: 5 }) })
    const error = await failed(server.url, { retry: { ...retry, slowMs: 1_000, leastBytes: 1_000 } })
    expect(error).toMatchObject({ kind: 'hub', message: expect.stringMatching(/only \d+ bytes in 1 s.*run again to resume/) })
    expect(server.requests.filter(({ server, range }) => server === 'cdn' && range !== undefined)).toHaveLength(1)
    expect((await blobs()).some((name) => name.endsWith('.incomplete'))).toBe(true)
    const quick = await hub()
    expect(await weightsIn((await pull(quick.url)).folder)).toEqual(weights)
    expect(quick.requests.find(({ server }) => server === 'cdn')?.range).toMatch(/^bytes=[1-9]/)
  })

  it('what is slow, but faster than that, comes', async () => {
    const server = await hub({
      repos: { [repo]: { ...model, files: { ...model.files, 'model.safetensors': weights.slice(0, 50) } } },
      fault: onWeights({ kind: 'drip', everyMs: 60 }),
    })
    expect(await weightsIn((await pull(server.url, { retry: { ...retry, slowMs: 1_000, leastBytes: 2 } })).folder)).toHaveLength(
      50,
    )
  })

  it('a hub that never answers a question about a file is given up', async () => {
    const server = await hub({ bareListing: true, fault: ({ method }) => (method === 'HEAD' ? { kind: 'silent' } : undefined) })
    expect(await failed(server.url, { retry: { ...retry, stallMs: 1_000 } })).toMatchObject({ kind: 'hub' })
    expect(server.requests.filter(({ method }) => method === 'HEAD')).toHaveLength(2)
  })
})

describe('changing', () => {
  it('a file that changes between listing and download is refused; the next pull has the new one', async () => {
    const files = { ...model.files }
    const other = weights.map((byte) => byte ^ 1)
    const server = await hub({
      repos: { [repo]: { ...model, files } },
      fault: ({ server }) => {
        if (server === 'cdn') files['model.safetensors'] = other
        return undefined
      },
    })
    expect(await failed(server.url)).toMatchObject({
      kind: 'hub',
      message: expect.stringMatching(/expected sha256 .* found .* run again/),
    })
    expect(await blobs()).toHaveLength(1) // config.json
    expect(await weightsIn((await pull(server.url)).folder)).toEqual(other)
  })

  it('two revisions pulled at once are both whole', async () => {
    const v2: HubRepo = {
      commit: 'beef'.padEnd(40, '0'),
      files: { ...model.files, 'model.safetensors': weights.map((byte) => byte ^ 2) },
    }
    const server = await hub({ repos: { [repo]: { ...model, revisions: { v2 } } } })
    const [main, second] = await Promise.all([pull(server.url), pull(server.url, { revision: 'v2' })])
    expect([main.commit, second.commit]).toEqual([model.commit, v2.commit])
    expect(await weightsIn(main.folder)).toEqual(weights)
    expect(await weightsIn(second.folder)).toEqual(v2.files['model.safetensors'])
    expect((await blobs()).filter((name) => !name.includes('.'))).toHaveLength(3)
  })
})

describe('in between', () => {
  it.each(['listing', 'small file', 'weights'])('a login page for the %s is named, and none of it stays', async (what) => {
    const isAsked: Record<string, (url: string) => boolean> = {
      listing: (url) => url.startsWith('/api/'),
      'small file': (url) => url.includes('/config.json'),
      weights: (url) => url.includes('safetensors'),
    }
    const server = await hub({ fault: ({ url }) => (isAsked[what]!(url) ? { kind: 'page' } : undefined) })
    const error = await failed(server.url)
    expect(error).toMatchObject({
      kind: 'hub',
      message: expect.stringMatching(/web page instead; does a proxy|expected JSON, found/),
    })
    expect(error.message).not.toMatch(/\u009b/)
    for (const name of await blobs())
      expect(await readFile(join(home, 'hub', 'models--ParScale--tiny', 'blobs', name), 'utf8')).not.toContain('html')
  })

  it('bodies that a proxy compressed are those that were asked for', async () => {
    const server = await hub({
      fault: ({ server, range }) => (server === 'cdn' && range === undefined ? { kind: 'gzip' } : undefined),
    })
    expect(await weightsIn((await pull(server.url)).folder)).toEqual(weights)
  })

  it('a part that a proxy compressed is thrown away, and all of it asked for', async () => {
    const cutFirst = await hub({ fault: onWeights({ kind: 'cut', afterBytes: 20_000 }) })
    await failed(cutFirst.url, { retry: { ...retry, attempts: 1 } })
    const server = await hub({ fault: onWeights({ kind: 'gzip' }) })
    expect(await weightsIn((await pull(server.url)).folder)).toEqual(weights)
  })

  it('redirects in a loop end', async () => {
    const server = await hub({
      fault: ({ url }) => (url.includes('safetensors') ? { kind: 'status', status: 302, headers: { location: url } } : undefined),
    })
    expect(await failed(server.url)).toMatchObject({ kind: 'hub', message: expect.stringContaining('redirect') })
  })

  it('a certificate that nobody trusts is named, and not tried again', async () => {
    let connections = 0
    const server = createServer(untrusted).on('connection', () => connections++)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const error = await failed(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)
    server.closeAllConnections()
    server.close()
    expect(error).toMatchObject({
      kind: 'hub',
      message: expect.stringMatching(/certificate is not trusted \(DEPTH_ZERO.*NODE_EXTRA_CA_CERTS/),
    })
    expect(connections).toBe(1)
  })
})

it('a hub with an IPv6 address', async () => {
  const server = await hub({ host: '::1' })
  expect(server.url).toContain('[::1]')
  expect(await weightsIn((await pull(server.url)).folder)).toEqual(weights)
})

it('a cache that cannot be written serves what it has whole', async () => {
  const server = await hub()
  const { folder } = await pull(server.url)
  // Root may write everywhere: where the lock's folder would be, there is a file.
  await rm(join(home, 'hub', '.locks'), { recursive: true })
  await writeFile(join(home, 'hub', '.locks'), '')
  expect(await pull(server.url)).toMatchObject({ folder, downloadedBytes: 0 })
  await rm(join(folder, 'model.safetensors'))
  expect(await failed(server.url)).toMatchObject({ kind: 'resource', message: expect.stringContaining('HF_HUB_CACHE') })
})
