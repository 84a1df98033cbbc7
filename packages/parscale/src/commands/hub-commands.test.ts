import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { programFor } from '../cli.ts'
import { type HubServer, startHubServer } from '../hub/testing/hub-server.ts'
import type { Io } from '../terminal/io.ts'

const commit = 'b'.repeat(40)
const name = 'ParScale/ParScale-0.7B-P1-Pile'
let server: HubServer
let cacheDirectory: string

beforeEach(async () => {
  const bytes = (text: string) => new TextEncoder().encode(text)
  const files = { 'config.json': bytes('{}'), 'model.safetensors': bytes('weights') }
  server = await startHubServer({ repos: { [name]: { commit, files } } })
  cacheDirectory = await mkdtemp(join(tmpdir(), 'parscale-command-'))
})
afterEach(async () => {
  await server.close()
  await rm(cacheDirectory, { recursive: true })
})

/** Runs a command line in this process; what it wrote, and what its progress showed last. */
async function run(...args: string[]) {
  const written = { stdout: '', stderr: '', progress: '' }
  const io: Io = {
    stdout: (text) => {
      written.stdout += text
    },
    stderr: (text) => {
      written.stderr += text
    },
    isTTY: { stdout: false, stderr: false },
    color: false,
    env: { HF_ENDPOINT: server.url, HF_HUB_CACHE: cacheDirectory, HF_HOME: cacheDirectory },
    signal: new AbortController().signal,
    progress: (label) => ({
      update(done, total, note) {
        written.progress = `${label} ${done}/${total} ${note}`
      },
      end() {},
    }),
  }
  const argv = ['node', 'parscale', ...args]
  await (await programFor(argv, io)).parseAsync(argv)
  return written
}

test('pull prints the folder alone on stdout, talks on stderr, and names the licence', async () => {
  const { stdout, stderr, progress } = await run('pull', name)
  expect(stdout).toBe(`${join(cacheDirectory, `models--${name.replace('/', '--')}`, 'snapshots', commit)}\n`)
  expect(stderr).toContain('2 files, 9 B downloaded and checked')
  expect(stderr).toContain("apache-2.0, its text says 'academic use only'")
  expect(progress).toBe(`${name} 9/9 model.safetensors 100% (2 of 2)`)
  expect((await run('pull', name)).stderr).toContain('already in the cache')
})

test('pull --json tells commit, folder and the hash of each file', async () => {
  const result = JSON.parse((await run('pull', name, '--json', '--include', '*.safetensors')).stdout)
  expect(result).toMatchObject({ model: name, revision: 'main', commit, downloadedBytes: 9 })
  expect(result.files[1]).toMatchObject({
    path: 'model.safetensors',
    sizeBytes: 7,
    sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
  })
})

test('models lists all 67 as a table, and marks what is in the cache', async () => {
  await run('pull', name)
  const { stdout, stderr } = await run('models')
  const lines = stdout.trimEnd().split('\n')
  expect(lines).toHaveLength(68)
  expect(lines[0]).toMatch(/^NAME +P +SIZE +DATA +PURPOSE +CACHED$/)
  expect(lines.filter((line) => line.endsWith('yes'))).toEqual([
    expect.stringMatching(new RegExp(`^${name} +1 +0.7B +Pile +scaling law +yes$`)),
  ])
  expect(stderr).toContain("67 of 67; licence: tagged apache-2.0, the cards' text says 'academic use only'")
})

test.each([
  [['--p', '8'], 17],
  [['--size', '1.8B'], 16],
  [['--size', '4.7', '--p', '2'], 2],
  [['--data', 'python'], 31],
  [['inst'], 4],
  [['--p', '1', 'frozen'], 0],
])('models %j finds %d', async (args, count) => {
  const { stdout } = await run('models', ...args, '--json')
  expect(JSON.parse(stdout)).toHaveLength(count)
})

test('models --json has every fact of a checkpoint', async () => {
  const { stdout } = await run('models', '--json', 'ParScale-1.8B-P8-Inst')
  expect(JSON.parse(stdout)).toEqual([
    {
      name: 'ParScale/ParScale-1.8B-P8-Inst',
      p: 8,
      size: '1.8B',
      paperSize: '1.6B',
      data: '1T tokens, then SmolTalk',
      purpose: 'chat',
      license: { tag: 'apache-2.0', text: 'academic use only' },
      cachedAt: null,
    },
  ])
})

test('a number of streams that nobody published is a usage error', async () => {
  await expect(run('models', '--p', '3')).rejects.toThrow(/expected 1, 2, 4 or 8/)
})

test('help has examples', async () => {
  for (const command of ['pull', 'models']) {
    await expect(run(command, '--help')).rejects.toMatchObject({ code: 'commander.helpDisplayed' })
  }
})
