import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { linkFile } from '@parscale/core/internal/node'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fileSize } from './cache.ts'
import { resolveCachedModel } from './cached-model.ts'

const commit = 'a'.repeat(40)
let cacheDirectory: string
beforeEach(async () => {
  cacheDirectory = await mkdtemp(join(tmpdir(), 'parscale-cache-'))
})
afterEach(() => rm(cacheDirectory, { recursive: true }))

/** Writes a snapshot by hand: contents by path. */
async function snapshot(files: Record<string, string>, revision = 'main'): Promise<void> {
  const folder = join(cacheDirectory, 'models--a--b')
  for (const [path, content] of [
    ...Object.entries(files).map(([path, text]) => [`snapshots/${commit}/${path}`, text]),
    [`refs/${revision}`, `${commit}\n`],
  ] as const) {
    await mkdir(dirname(join(folder, path!)), { recursive: true })
    await writeFile(join(folder, path!), content!)
  }
}
const found = (revision?: string) =>
  resolveCachedModel('a/b', { cacheDirectory, revision }).then((folder) => folder !== undefined)
const index = (...shards: string[]) =>
  JSON.stringify({ weight_map: Object.fromEntries(shards.map((shard, i) => [`t${i}`, shard])) })
const shards = ['1.safetensors', '2.safetensors'] as const

test.each([
  ['nothing', {}, false],
  ['a configuration alone', { 'config.json': '{}' }, false],
  ['weights alone', { 'model.safetensors': 'w' }, false],
  ['both', { 'config.json': '{}', 'model.safetensors': 'w' }, true],
  [
    'an index without its shards',
    { 'config.json': '{}', 'model.safetensors.index.json': index(...shards), [shards[0]]: 'w' },
    false,
  ],
  [
    'an index with all shards',
    { 'config.json': '{}', 'model.safetensors.index.json': index(...shards), [shards[0]]: 'w', [shards[1]]: 'w' },
    true,
  ],
  [
    'one file beside an index of shards that are not there',
    { 'config.json': '{}', 'model.safetensors.index.json': index(...shards), 'model.safetensors': 'w' },
    true,
  ],
  ['a damaged index', { 'config.json': '{}', 'model.safetensors.index.json': '{', 'model.safetensors': 'w' }, false],
  ['an index that points elsewhere', { 'config.json': '{}', 'model.safetensors.index.json': index('../../../x') }, false],
  ['a GGUF file', { 'm-Q4_0.gguf': 'w' }, true],
  ['a GGUF file beside a configuration', { 'm-Q4_0.gguf': 'w', 'config.json': '{}' }, true],
  ['some parts of a GGUF file', { 'm-00001-of-00002.gguf': 'w' }, false],
  ['all parts of a GGUF file', { 'm-00001-of-00002.gguf': 'w', 'm-00002-of-00002.gguf': 'w' }, true],
] as const)('%s: complete is %s', async (_, files, complete) => {
  await snapshot(files)
  expect(await found()).toBe(complete)
  expect(await found(commit)).toBe(complete)
  expect(await found('other')).toBe(false)
})

test('revisions with slashes lie in folders of refs', async () => {
  await snapshot({ 'm.gguf': 'w' }, 'refs/pr/1')
  expect(await found('refs/pr/1')).toBe(true)
})

test('a damaged ref leads nowhere', async () => {
  await snapshot({ 'm.gguf': 'w' })
  await writeFile(join(cacheDirectory, 'models--a--b/refs/main'), '../../../etc')
  expect(await found()).toBe(false)
})

test('where no symbolic link can be made, the entry is a file with the content', async () => {
  // A target of more than 4095 characters is refused by Linux, while both paths by themselves are short enough.
  const blob = join(cacheDirectory, ...Array<string>(600).fill('b'), 'hash')
  const entry = join(cacheDirectory, ...Array<string>(1000).fill('s'), 'config.json')
  await mkdir(dirname(blob), { recursive: true })
  await writeFile(blob, 'content')
  await linkFile(blob, entry)
  expect(await readFile(entry, 'utf8')).toBe('content')
})

test('an entry that leads nowhere is replaced', async () => {
  const blob = join(cacheDirectory, 'hash')
  const entry = join(cacheDirectory, 'config.json')
  await symlink('nowhere', entry)
  await writeFile(blob, 'content')
  await linkFile(blob, entry)
  expect(await fileSize(entry)).toBe(7)
})
