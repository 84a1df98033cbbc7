import { createHash } from 'node:crypto'
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { resolveCachedModel } from './cached-model.ts'
import { type PullOptions, pullModel } from './pull-model.ts'
import { type Fault, gitBlobId, type HubServer, type HubServerOptions, sha256, startHubServer } from './testing/hub-server.ts'

const repo = 'ParScale/tiny'
const commit = 'c0ffee'.padEnd(40, '0')
const text = (content: string) => new TextEncoder().encode(content)
/** 300 kB that do not repeat, so that bytes in the wrong place are seen. */
const weights = new Uint8Array(
  Array.from({ length: 9375 }, (_, i) => [...createHash('sha256').update(String(i)).digest()]).flat(),
)
const files = {
  'README.md': text('---\nlicense: apache-2.0\n---\n'),
  'config.json': text('{"model_type":"qwen2_parscale"}'),
  'tokenizer.json': text('{}'),
  'modeling.py': text('print("never")'),
  'pytorch_model.bin': text('never'),
  'model.safetensors': weights,
}
const weightsHash = sha256(weights)

let cacheDirectory: string
const servers: HubServer[] = []

beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'parscale-hub-'))
})
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()))
  await rm(cacheDirectory, { recursive: true })
})

async function hub(fault?: HubServerOptions['fault'], options: Partial<HubServerOptions> = {}): Promise<HubServer> {
  const server = await startHubServer({ repos: { [repo]: { commit, files } }, fault, ...options })
  servers.push(server)
  return server
}

/** Quick retries; an empty environment, so that nobody's own token or cache takes part. */
const pull = (server: HubServer, options: PullOptions = {}) =>
  pullModel(repo, {
    endpoint: server.url,
    cacheDirectory,
    env: { HF_HOME: cacheDirectory },
    retry: { attempts: 3, firstDelayMs: 1, stallMs: 60_000 },
    ...options,
  })

const folder = () => join(cacheDirectory, 'models--ParScale--tiny')
const blob = (hash = weightsHash) => join(folder(), 'blobs', hash)
const part = () => `${blob()}.incomplete`
const hashOf = (path: string) => readFile(path).then(sha256)
/** The requests for the weights' bytes, by their Range header. */
const ranges = (server: HubServer) => server.requests.filter((seen) => seen.server === 'cdn').map((seen) => seen.range)
/** The fault for the n-th request to the content network, from 0. */
const onCdn =
  (...faults: (Fault | undefined)[]): HubServerOptions['fault'] =>
  (request, seen) =>
    request.server === 'cdn' ? faults[seen.filter((other) => other.server === 'cdn').length - 1] : undefined
const always =
  (fault: Fault): HubServerOptions['fault'] =>
  (request) =>
    request.server === 'cdn' ? fault : undefined

describe('what a pull leaves', () => {
  test('the layout of huggingface_hub: blobs by hash, relative links, refs; no code and no pickles', async () => {
    const server = await hub()
    const pulled = await pull(server)
    expect(pulled.folder).toBe(join(folder(), 'snapshots', commit))
    expect((await readdir(pulled.folder)).sort()).toEqual(['README.md', 'config.json', 'model.safetensors', 'tokenizer.json'])
    expect(await readlink(join(pulled.folder, 'model.safetensors'))).toBe(`../../blobs/${weightsHash}`)
    expect(await readlink(join(pulled.folder, 'config.json'))).toBe(`../../blobs/${gitBlobId(files['config.json'])}`)
    expect(await hashOf(join(pulled.folder, 'model.safetensors'))).toBe(weightsHash)
    expect(await readFile(join(folder(), 'refs', 'main'), 'utf8')).toBe(commit)
    expect(await readdir(join(cacheDirectory, '.locks', 'models--ParScale--tiny'))).toEqual([])
    expect(await resolveCachedModel(repo, { cacheDirectory })).toBe(pulled.folder)
  })

  test('a second pull asks for the listing only', async () => {
    const server = await hub()
    await pull(server)
    const before = server.requests.length
    expect((await pull(server)).downloadedBytes).toBe(0)
    expect(server.requests.slice(before).map(({ url }) => url)).toEqual([`/api/models/${repo}/revision/main?blobs=true`])
  })

  test('content that another revision brought is linked, not downloaded again', async () => {
    await pull(await hub())
    const next = await hub(undefined, { repos: { [repo]: { commit: 'a'.repeat(40), files } } })
    expect((await pull(next)).downloadedBytes).toBe(0)
    expect(await hashOf(join(folder(), 'snapshots', 'a'.repeat(40), 'model.safetensors'))).toBe(weightsHash)
  })

  test('a commit as revision needs no ref', async () => {
    const pulled = await pull(await hub(), { revision: commit })
    expect(await readdir(folder())).not.toContain('refs')
    expect(await resolveCachedModel(repo, { cacheDirectory, revision: commit })).toBe(pulled.folder)
  })

  test('a hub that lists neither sizes nor hashes is asked for each file', async () => {
    const server = await hub(undefined, { bareListing: true })
    const pulled = await pull(server)
    expect(await hashOf(join(pulled.folder, 'model.safetensors'))).toBe(weightsHash)
    expect(server.requests.filter(({ method }) => method === 'HEAD')).toHaveLength(4)
  })

  test('progress runs from nothing to everything', async () => {
    const seen: number[] = []
    const pulled = await pull(await hub(), { onProgress: ({ doneBytes, sizeBytes }) => seen.push(doneBytes / sizeBytes) })
    expect(seen[0]).toBe(0)
    expect(seen.at(-1)).toBe(1)
    expect(seen).toEqual([...seen].sort((a, b) => a - b))
    expect(pulled.downloadedBytes).toBe(pulled.files.reduce((sum, file) => sum + file.sizeBytes, 0))
  })
})

describe('cut and lying servers', () => {
  test('connections cut at any points still give the file, each time from where the last one stopped', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: weights.length - 1 }), { minLength: 1, maxLength: 4 }),
        async (cuts) => {
          const server = await hub(onCdn(...cuts.map((afterBytes): Fault => ({ kind: 'cut', afterBytes }))))
          const pulled = await pull(server)
          expect(await hashOf(join(pulled.folder, 'model.safetensors'))).toBe(weightsHash)
          await rm(folder(), { recursive: true })
        },
      ),
      { numRuns: 15 },
    )
  })

  test('a part of an earlier run is resumed from its length', async () => {
    await mkdir(join(folder(), 'blobs'), { recursive: true })
    await writeFile(part(), weights.subarray(0, 1000))
    const server = await hub()
    await pull(server)
    expect(ranges(server)).toEqual(['bytes=1000-'])
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a part that is already whole is only checked', async () => {
    await mkdir(join(folder(), 'blobs'), { recursive: true })
    await writeFile(part(), weights)
    const server = await hub()
    await pull(server)
    expect(ranges(server)).toEqual([])
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a part longer than the file is thrown away', async () => {
    await mkdir(join(folder(), 'blobs'), { recursive: true })
    await writeFile(part(), new Uint8Array(weights.length + 1))
    await pull(await hub())
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a server that ignores the range is read from the start', async () => {
    const server = await hub(onCdn({ kind: 'cut', afterBytes: 70_000 }, { kind: 'ignore-range' }))
    await pull(server)
    expect(ranges(server)).toHaveLength(2)
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a wrong Content-Range is not written; the next try starts anew', async () => {
    const server = await hub(onCdn({ kind: 'cut', afterBytes: 70_000 }, { kind: 'wrong-range' }))
    await pull(server)
    expect(ranges(server)).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/), undefined])
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a range the server does not have (416) starts anew', async () => {
    const server = await hub(onCdn({ kind: 'cut', afterBytes: 70_000 }, { kind: 'status', status: 416 }))
    await pull(server)
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test.each([1000, 400_000])('a body announced as %d bytes is refused, with both lengths', async (length) => {
    const server = await hub(always({ kind: 'wrong-length', length }))
    await expect(pull(server)).rejects.toMatchObject({
      kind: 'hub',
      message: expect.stringMatching(new RegExp(`model.safetensors: expected 300000 bytes.*announces ${length} bytes`)),
    })
    expect(ranges(server)).toHaveLength(3)
    expect(await readdir(join(folder(), 'snapshots', commit))).not.toContain('model.safetensors')
  })

  test('a body without length that does not end where it should is refused and its part deleted', async () => {
    await expect(pull(await hub(always({ kind: 'endless', extraBytes: 5 })))).rejects.toThrow(
      /the server sends more; the part was deleted/,
    )
    expect(await readdir(join(folder(), 'blobs'))).not.toContain(`${weightsHash}.incomplete`)
  })

  test.each(['model.safetensors', 'config.json'] as const)(
    'wrong content in %s: named, deleted, never under its final name',
    async (name) => {
      const server = await hub((request) => (request.url.endsWith(`/${name}`) ? { kind: 'corrupt' } : undefined))
      const hash = name === 'config.json' ? gitBlobId(files[name]) : weightsHash
      await expect(pull(server)).rejects.toThrow(
        new RegExp(`${name}: expected (sha256|git-sha1) ${hash}, found .*the part was deleted`),
      )
      expect((await readdir(join(folder(), 'blobs'))).filter((entry) => entry.startsWith(hash))).toEqual([])
      expect(await resolveCachedModel(repo, { cacheDirectory })).toBeUndefined()
    },
  )

  test('a damaged part of an earlier run is found by the hash and does not come back', async () => {
    await mkdir(join(folder(), 'blobs'), { recursive: true })
    await writeFile(part(), new Uint8Array(1000))
    const server = await hub()
    await expect(pull(server)).rejects.toThrow(/the part was deleted/)
    await pull(server)
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a server that goes silent is tried again', async () => {
    const server = await hub(onCdn({ kind: 'stall', afterBytes: 70_000 }))
    await pull(server, { retry: { attempts: 3, firstDelayMs: 1, stallMs: 2_000 } })
    expect(ranges(server)).toHaveLength(2)
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a server that always cuts at the same byte is given up, and the part kept', async () => {
    const server = await hub((request) =>
      request.server === 'cdn' ? { kind: 'cut', afterBytes: request.range === undefined ? 70_000 : 0 } : undefined,
    )
    await expect(pull(server)).rejects.toThrow(
      /model.safetensors: expected 300000 bytes, have \d+: 127.0.0.1:\d+ was lost .*run again to resume/,
    )
    expect((await stat(part())).size).toBeGreaterThan(0)
  })
})

describe('refusals', () => {
  const listing =
    (fault: Fault, times = Number.POSITIVE_INFINITY): HubServerOptions['fault'] =>
    (request, seen) =>
      request.url.startsWith('/api/') && seen.length <= times ? fault : undefined

  test('a gated model: accept the licence, set HF_TOKEN; with the token it comes', async () => {
    const repos = { [repo]: { commit, files, token: 'hf_secret' } }
    const server = await hub(undefined, { repos })
    await expect(pull(server)).rejects.toThrow(/gated.*accept its licence at .*ParScale\/tiny.*set HF_TOKEN/)
    await expect(pull(server, { token: 'hf_other' })).rejects.toThrow(/gated.*check that HF_TOKEN may read it/)
    await pull(server, { token: 'hf_secret' })
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('the token goes to the hub and never to the content network', async () => {
    const server = await hub()
    await pull(server, { token: 'hf_secret' })
    const sent = (name: 'hub' | 'cdn') =>
      new Set(server.requests.filter((seen) => seen.server === name).map((seen) => seen.authorization))
    expect(sent('hub')).toEqual(new Set(['Bearer hf_secret']))
    expect(sent('cdn')).toEqual(new Set([undefined]))
  })

  test('an unknown model, with names that look alike', async () => {
    const server = await hub()
    const unknown = pullModel('ParScale/ParScale-1.8B-P8-Instr', { endpoint: server.url, cacheDirectory, env: {} })
    await expect(unknown).rejects.toThrow(/no such model.*did you mean ParScale\/ParScale-1.8B-P8-Inst/)
  })

  test('an unknown revision is named', async () => {
    await expect(pull(await hub(), { revision: 'v9' })).rejects.toThrow(/no revision "v9"/)
  })

  test('a file that is listed but not there is named', async () => {
    const server = await hub((request) =>
      request.url.endsWith('/config.json')
        ? { kind: 'status', status: 404, headers: { 'x-error-code': 'EntryNotFound' } }
        : undefined,
    )
    await expect(pull(server)).rejects.toThrow(/no file at .*config.json/)
  })

  test('busy servers are tried again, after the pause they ask for', async () => {
    const server = await hub(listing({ kind: 'status', status: 429, headers: { 'retry-after': '0' } }, 2))
    await pull(server, { retry: { attempts: 3, firstDelayMs: 3_600_000 } })
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test.each([429, 500, 503])('status %d again and again is given up by name', async (status) => {
    const server = await hub(listing({ kind: 'status', status }))
    await expect(pull(server)).rejects.toThrow(new RegExp(`answered ${status}`))
    expect(server.requests).toHaveLength(3)
  })

  test('a link into the content network that expired is asked for anew; its refusal says nothing of rights', async () => {
    const expired: Fault = { kind: 'status', status: 403 }
    await pull(await hub(onCdn(expired)))
    expect(await hashOf(blob())).toBe(weightsHash)
    await rm(folder(), { recursive: true })
    await expect(pull(await hub(always(expired)))).rejects.toThrow(/answered 403; try again later/)
  })

  test('a pause of an hour is not waited for', async () => {
    const server = await hub(listing({ kind: 'status', status: 429, headers: { 'retry-after': '3600' } }))
    await expect(pull(server)).rejects.toThrow(/answered 429/)
    expect(server.requests).toHaveLength(1)
  })

  test('no network: the host, and what can be set', async () => {
    const server = await hub()
    await server.close()
    await expect(pull(server)).rejects.toMatchObject({
      kind: 'hub',
      message: expect.stringMatching(/^127\.0\.0\.1:\d+: no connection \(ECONNREFUSED\).*HF_ENDPOINT.*HF_HUB_OFFLINE/),
    })
  })

  test.each([
    '../../evil.safetensors',
    '/etc/evil.safetensors',
    'a/../../evil.safetensors',
    'nul\u0000.safetensors',
    '..\\evil.safetensors',
  ])('a listing with the file name %j is refused and nothing written', async (name) => {
    const server = await hub(undefined, { repos: { [repo]: { commit, files: { ...files, [name]: weights } } } })
    await expect(pull(server)).rejects.toThrow(/expected plain relative file names/)
    expect(await readdir(cacheDirectory)).toEqual([])
  })
})

describe('interruptions', () => {
  test('an abort stops at once and leaves what the next pull resumes', async () => {
    const server = await hub(onCdn({ kind: 'stall', afterBytes: 70_000 }))
    const interrupt = new AbortController()
    const stopped = pull(server, {
      signal: interrupt.signal,
      onProgress: ({ file, fileDoneBytes }) => void (file === 'model.safetensors' && fileDoneBytes > 0 && interrupt.abort()),
    })
    await expect(stopped).rejects.toThrow(expect.objectContaining({ name: 'AbortError' }))
    const kept = (await stat(part())).size
    expect(kept).toBeGreaterThan(0)
    await pull(server)
    expect(ranges(server)).toEqual([undefined, `bytes=${kept}-`])
    expect(await hashOf(blob())).toBe(weightsHash)
  })

  test('a model larger than the disk is refused before its first byte', async () => {
    const server = await hub(undefined, { repos: { [repo]: { commit, files, listedSizes: { 'model.safetensors': 2 ** 52 } } } })
    await expect(pull(server)).rejects.toMatchObject({
      kind: 'resource',
      message: expect.stringMatching(/4504 TB still to download, .* free/),
    })
    expect(server.requests).toHaveLength(1)
  })

  test('a disk that fills up on the way: said so, and nothing under the final name', async () => {
    // Linux' /dev/full is a disk without room: each write to it fails with ENOSPC.
    await mkdir(join(folder(), 'blobs'), { recursive: true })
    await symlink('/dev/full', part())
    await expect(pull(await hub())).rejects.toMatchObject({
      kind: 'resource',
      message: expect.stringMatching(/incomplete: the disk is full; make room/),
    })
    expect(await readdir(join(folder(), 'blobs'))).not.toContain(weightsHash)
    expect(await resolveCachedModel(repo, { cacheDirectory })).toBeUndefined()
  })

  test('a cache folder that cannot be made is named', async () => {
    await writeFile(folder(), 'a file in its place')
    await expect(pull(await hub())).rejects.toMatchObject({
      kind: 'resource',
      message: expect.stringMatching(/cannot be written \(ENOTDIR\)/),
    })
  })

  test('two pulls at once download each file once', async () => {
    const server = await hub()
    const waited: number[] = []
    const both = await Promise.all([0, 1].map(() => pull(server, { onWait: (pid) => waited.push(pid) })))
    expect(both.map(({ downloadedBytes }) => downloadedBytes).sort()).toEqual([
      0,
      both[0]!.downloadedBytes + both[1]!.downloadedBytes,
    ])
    expect(ranges(server)).toHaveLength(1)
    expect(waited).toEqual([process.pid])
  })
})

describe('offline', () => {
  test('what is in the cache is found without a request', async () => {
    const server = await hub()
    const { folder: pulled } = await pull(server)
    const before = server.requests.length
    expect(await pull(server, { env: { HF_HUB_OFFLINE: '1' } })).toMatchObject({ folder: pulled, commit, downloadedBytes: 0 })
    expect(server.requests).toHaveLength(before)
  })

  test('what is missing is named', async () => {
    const server = await hub()
    await expect(pull(server, { offline: true })).rejects.toThrow(/offline, and the cache .* lacks every file/)
    const { folder: pulled } = await pull(server)
    await rm(join(pulled, 'model.safetensors'))
    await expect(pull(server, { offline: true })).rejects.toThrow(/lacks model.safetensors/)
  })

  test('a link into nothing counts as missing, and is mended by a pull', async () => {
    const server = await hub()
    const { folder: pulled } = await pull(server)
    await rm(blob())
    expect((await lstat(join(pulled, 'model.safetensors'))).isSymbolicLink()).toBe(true)
    expect(await resolveCachedModel(repo, { cacheDirectory })).toBeUndefined()
    await pull(server)
    expect(await hashOf(join(pulled, 'model.safetensors'))).toBe(weightsHash)
  })

  test('a blob of the wrong length is fetched again', async () => {
    const server = await hub()
    await pull(server)
    await truncate(blob(), 10)
    await pull(server)
    expect(await hashOf(blob())).toBe(weightsHash)
  })
})
