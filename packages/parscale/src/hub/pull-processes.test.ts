/** Several processes at one cache: waiting for each other, killed, interrupted. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Fault, type HubServer, sha256, startHubServer } from './testing/hub-server.ts'

const repo = 'ParScale/tiny'
const commit = 'e'.repeat(40)
const weights = new Uint8Array(createHash('shake256', { outputLength: 500_000 }).digest())
const files = { 'config.json': new TextEncoder().encode('{}'), 'model.safetensors': weights }

let server: HubServer
let cacheDirectory: string
/** What the content network does to its first answer. */
let firstFault: Fault | undefined
let children: ChildProcess[]

beforeEach(async () => {
  children = []
  cacheDirectory = await mkdtemp(join(tmpdir(), 'parscale-processes-'))
  const fault = () => (downloads().length === 1 ? firstFault : undefined)
  server = await startHubServer({
    repos: { [repo]: { commit, files } },
    fault: (request) => (request.server === 'cdn' ? fault() : undefined),
  })
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await server.close()
  await rm(cacheDirectory, { recursive: true })
})

const downloads = () => server.requests.filter((seen) => seen.server === 'cdn')
const blob = () => join(cacheDirectory, 'models--ParScale--tiny', 'blobs', sha256(weights))
const snapshot = () => join(cacheDirectory, 'models--ParScale--tiny', 'snapshots', commit)

/** `parscale pull` as a process of its own. Its stderr says `part` as soon as some of the weights are on disk. */
function pullProcess() {
  const path = (relative: string) => JSON.stringify(fileURLToPath(new URL(relative, import.meta.url)))
  const script = `
    import { createIo } from ${path('../terminal/io.ts')}
    import { pullModel } from ${path('./pull-model.ts')}
    const io = createIo()
    const onProgress = ({ file, fileDoneBytes }) => file === 'model.safetensors' && fileDoneBytes > 0 && io.stderr('part\\n')
    const pulling = pullModel('${repo}', { signal: io.signal, onProgress, onWait: (pid) => io.stderr('waits for ' + pid + '\\n') })
    pulling.then((pulled) => io.stdout(pulled.folder), (error) => { io.stdout(error.name); process.exitCode = 7 })`
  const child = spawn(process.execPath, ['--import', 'tsx', '--conditions=source', '--input-type=module', '-e', script], {
    stdio: 'pipe',
    env: {
      ...process.env,
      HF_ENDPOINT: server.url,
      HF_HUB_CACHE: cacheDirectory,
      HF_HOME: cacheDirectory,
      HF_HUB_OFFLINE: '0',
      HF_TOKEN: '',
    },
  })
  children.push(child)
  const written = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk) => {
      written[name] += String(chunk)
    })
  }
  const ended = once(child, 'close').then(([exitCode]) => ({ ...written, exitCode }))
  const says = async (text: string) => {
    while (!written.stderr.includes(text)) await once(child.stderr, 'data')
  }
  return { child, ended, says }
}

test('a second process waits for the first and finds its work done', async () => {
  firstFault = { kind: 'stall', afterBytes: 100_000 }
  const first = pullProcess()
  await first.says('part')
  const second = pullProcess()
  await second.says(`waits for ${first.child.pid}`)
  first.child.kill('SIGINT')
  expect(await first.ended).toMatchObject({ exitCode: 7, stdout: 'AbortError' })
  expect(await second.ended).toMatchObject({ exitCode: 0, stdout: snapshot() })
  expect(downloads().map(({ range }) => range)).toEqual([undefined, expect.stringMatching(/^bytes=\d+-$/)])
  expect(sha256(await readFile(blob()))).toBe(sha256(weights))
})

test('a process that is killed leaves a part, and no lock that holds', async () => {
  firstFault = { kind: 'stall', afterBytes: 100_000 }
  const killed = pullProcess()
  await killed.says('part')
  killed.child.kill('SIGKILL')
  await killed.ended
  const kept = (await stat(`${blob()}.incomplete`)).size
  expect(await pullProcess().ended).toMatchObject({ exitCode: 0, stdout: snapshot() })
  expect(downloads().map(({ range }) => range)).toEqual([undefined, `bytes=${kept}-`])
  expect(sha256(await readFile(blob()))).toBe(sha256(weights))
})

test('three at once: one downloads, all return the same folder', async () => {
  firstFault = undefined
  const results = await Promise.all([pullProcess(), pullProcess(), pullProcess()].map(({ ended }) => ended))
  expect(results.map(({ stdout }) => stdout)).toEqual([snapshot(), snapshot(), snapshot()])
  expect(downloads()).toHaveLength(1)
})

test.runIf(process.platform === 'linux').each(['/proc/x', '/sys/kernel/x', '/dev/null/x'])(
  'a cache where no folder can be made ends the command with its name: %s',
  async (home) => {
    const main = fileURLToPath(new URL('../testing/main.ts', import.meta.url))
    const { HF_HUB_CACHE: _, ...env } = process.env
    const child = spawn(process.execPath, ['--import', 'tsx', '--conditions=source', main, 'pull', repo], {
      env: { ...env, HF_ENDPOINT: server.url, HF_HOME: home, HF_HUB_OFFLINE: '0', HF_TOKEN: '' },
    })
    children.push(child)
    let stderr = ''
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk)
    })
    const [exitCode] = await once(child, 'close')
    expect(stderr).toMatch(
      new RegExp(
        `^parscale: ${home}/hub/.*: cannot be written \\(E[A-Z]+\\); check that the folder belongs to you, or set HF_HUB_CACHE to another one\n$`,
      ),
    )
    expect(exitCode).toBe(4)
  },
)
