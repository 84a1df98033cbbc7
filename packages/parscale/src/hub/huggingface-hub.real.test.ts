/** Our cache and that of PyPI's `huggingface_hub`, each read by the other, over the same local hub. */
import { execFile, execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { resolveCachedModel } from './cached-model.ts'
import { pullModel } from './pull-model.ts'
import { type HubServer, sha256, startHubServer } from './testing/hub-server.ts'

const repo = 'ParScale/tiny'
const commit = 'd'.repeat(40)
const weights = new Uint8Array(100_000).map((_, i) => i * 7)
const files = { 'config.json': new TextEncoder().encode('{}'), 'model.safetensors': weights }

let python: string
let server: HubServer
let home: string

beforeAll(async () => {
  const makeEnvironment = fileURLToPath(new URL('../../../../scripts/python-env.mjs', import.meta.url))
  python = execFileSync(process.execPath, [makeEnvironment, 'hub'], { encoding: 'utf8' }).trim()
  server = await startHubServer({ repos: { [repo]: { commit, files } } })
  home = await mkdtemp(join(tmpdir(), 'parscale-peer-'))
})
afterAll(async () => {
  await server.close()
  await rm(home, { recursive: true })
})

/** Runs Python with its own environment variables for the hub; its stdout. */
async function runPython(cache: string, script: string): Promise<string> {
  const env = { HF_HOME: join(home, cache), HF_ENDPOINT: server.url, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_PROGRESS_BARS: '1' }
  return (await promisify(execFile)(python, ['-c', script], { env })).stdout.trim()
}
const ours = (cache: string) => ({ endpoint: server.url, env: { HF_HOME: join(home, cache) } })

test('Python finds in the cache what we have pulled', async () => {
  const { folder } = await pullModel(repo, ours('ours'))
  expect(
    await runPython(
      'ours',
      `from huggingface_hub import try_to_load_from_cache as find; print(find('${repo}', 'model.safetensors'))`,
    ),
  ).toBe(join(folder, 'model.safetensors'))
  const before = server.requests.length
  expect(
    await runPython('ours', `from huggingface_hub import snapshot_download as get; print(get('${repo}', local_files_only=True))`),
  ).toBe(folder)
  expect(server.requests).toHaveLength(before)
})

test('Python online takes over our files as its own: nothing is downloaded again', async () => {
  const { folder } = await pullModel(repo, ours('ours'))
  const before = server.requests.length
  expect(await runPython('ours', `from huggingface_hub import snapshot_download as get; print(get('${repo}'))`)).toBe(folder)
  expect(server.requests.slice(before).filter((seen) => seen.server === 'cdn')).toEqual([])
})

test('Python scans our cache without a warning', async () => {
  await pullModel(repo, ours('ours'))
  const script = `
from huggingface_hub import scan_cache_dir
cache = scan_cache_dir()
repo = next(iter(cache.repos))
revision = next(iter(repo.revisions))
print(len(cache.warnings), repo.repo_id, repo.size_on_disk, revision.commit_hash, sorted(revision.refs))`
  expect(await runPython('ours', script)).toBe(`0 ${repo} ${weights.length + 2} ${commit} ['main']`)
})

test('we find what Python has pulled, and pull nothing again', async () => {
  const folder = await runPython('theirs', `from huggingface_hub import snapshot_download as get; print(get('${repo}'))`)
  expect(await resolveCachedModel(repo, ours('theirs'))).toBe(folder)
  expect(await pullModel(repo, ours('theirs'))).toMatchObject({ folder, downloadedBytes: 0 })
})

test('both write the same names with the same contents', async () => {
  const names = async (cache: string) => {
    const folder = join(home, cache, 'hub', 'models--ParScale--tiny')
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries
      .filter((entry) => !entry.isDirectory() && !entry.parentPath.includes('.locks'))
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length))
      .sort()
  }
  expect(await names('ours')).toEqual(await names('theirs'))
  const blob = join(home, 'ours', 'hub', 'models--ParScale--tiny', 'blobs', sha256(weights))
  expect(sha256(await readFile(blob))).toBe(sha256(weights))
})
