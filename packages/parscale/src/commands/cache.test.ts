/** The cache as a person sees it: listed, verified to the bit, removed; damage is found whichever entry has it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { runHere } from '../testing/run-here.ts'
import { shortName } from './cache-report.ts'

let scratch: string
let env: NodeJS.ProcessEnv
let gguf: string
const parscale = (...args: string[]) => runHere(args, env)
interface Listed {
  readonly folder: string
  readonly entries: readonly Record<'name' | 'kind' | 'folder' | 'source' | 'weights' | 'engine' | 'state', string>[]
  readonly sizeBytes: number
  readonly hub: readonly { readonly name: string; readonly sizeBytes: number }[]
  readonly hubBytes: number
}
const listed = async (): Promise<Listed> => JSON.parse((await parscale('cache', 'list', '--json')).stdout)
const list = async () => (await listed()).entries
const generate = ['generate', '--prompt', 'a', '--max-tokens', '2', '--temperature', '0', '--bits', '8', '--engine', 'native']

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-cache-'))
  env = { ...process.env, PARSCALE_CACHE: join(scratch, 'cache'), HF_HUB_CACHE: join(scratch, 'hub') }
  expect((await parscale(...generate)).code).toBe(0)
  gguf = join(scratch, 'tiny.gguf')
  await cp(`${fixturesFolder}gguf/qwen2-p1.gguf`, gguf)
  expect((await parscale('score', gguf, '--ids', '1,2,3', '--engine', 'onnx')).code).toBe(0)
})
afterAll(() => rm(scratch, { recursive: true }))

async function bytesBelow(...folders: string[]): Promise<number> {
  let sum = 0
  for (const folder of folders)
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
      if (entry.isFile() && !/\.lock/.test(entry.name)) sum += (await stat(join(entry.parentPath, entry.name))).size
  return sum
}

async function flipLast(folder: string, name: string): Promise<void> {
  const path = join(folder, name)
  const { atime, mtime } = await stat(path)
  const bytes = await readFile(path)
  bytes[bytes.length - 1]! ^= 1
  await writeFile(path, bytes)
  await utimes(path, atime, mtime)
}

it('is empty before anything was made', async () => {
  const nothing = { PARSCALE_CACHE: join(scratch, 'none') }
  expect(await runHere(['cache', 'path'], nothing)).toMatchObject({ code: 0, stdout: `${nothing.PARSCALE_CACHE}\n` })
  expect(await runHere(['cache', 'list'], nothing)).toMatchObject({
    code: 0,
    stdout: '',
    stderr: expect.stringContaining('0 entries, 0 B'),
  })
  expect((await runHere(['cache', 'verify'], nothing)).code).toBe(0)
})

it('lists what was made of what', async () => {
  const { entries, sizeBytes } = await listed()
  expect(entries.map(({ kind, weights, engine, state }) => [kind, weights, engine, state])).toEqual([
    ['gguf', 'float32', 'onnx', 'whole'],
    ...[2, 4, 8].map(() => ['packed', '8 bits', 'native', 'whole']),
    ['packed', '8 bits', 'native', 'whole'],
  ])
  expect(new Set(entries.map(({ source }) => basename(source)))).toEqual(new Set(['tiny.gguf', 'small', 'p2', 'p4', 'p8']))
  expect(sizeBytes).toBe(await bytesBelow(join(env.PARSCALE_CACHE!, 'gguf'), join(env.PARSCALE_CACHE!, 'packed')))
  const { stdout, stderr } = await parscale('cache', 'list')
  expect(stdout).toMatch(/NAME +MADE OF +WEIGHTS +SIZE +LAST USED\ngguf\/float32-[0-9a-f]{12} +tiny.gguf +float32 /)
  expect(stdout.split('\n').every((line) => line.length <= 80)).toBe(true)
  expect(stderr).toMatch(/^5 entries, \d+\.?\d* kB in /)
})

it('names what comes of the hub apart, and never touches it', async () => {
  const blobs = join(scratch, 'hub', 'models--ORG--A-Name', 'blobs')
  await mkdir(blobs, { recursive: true })
  await writeFile(join(blobs, 'x'), new Uint8Array(1234))
  expect(await listed()).toMatchObject({ hub: [{ name: 'ORG/A-Name', sizeBytes: 1234 }], hubBytes: 1234 })
  expect((await parscale('cache', 'list')).stderr).toMatch(
    /models of the hub, apart from that:\nNAME +SIZE\nORG\/A-Name +1.2 kB\n/,
  )
  expect((await parscale('cache', 'remove', 'ORG/A-Name', '--yes')).code).toBe(2)
})

it('shows nothing twice: another path and more bits of the same file add nothing', async () => {
  const copy = join(scratch, 'under', 'another', 'name.gguf')
  await cp(gguf, copy)
  const before = await list()
  expect((await parscale('score', copy, '--ids', '1,2,3', '--engine', 'onnx')).code).toBe(0)
  expect((await list()).map(({ name }) => name)).toEqual(before.map(({ name }) => name))
})

it('names every entry in which a bit has flipped, and makes it anew when it is asked for', async () => {
  const text = (await parscale(...generate)).stdout
  expect(await parscale('cache', 'verify')).toMatchObject({ code: 0, stderr: expect.stringContaining('none damaged') })
  const { name, folder } = (await list()).find(({ name }) => name.includes('backbone-'))!
  await flipLast(folder, 'weights')
  const verified = await parscale('cache', 'verify')
  expect(verified).toMatchObject({ code: 3, stderr: expect.stringContaining(`damaged: ${shortName(name)};`) })
  expect(verified.stdout).toMatch(/damaged +weights bytes 0 to \d+ are not those that were written/)
  const asJson = await parscale('cache', 'verify', name, '--json')
  expect([asJson.code, JSON.parse(asJson.stdout)]).toMatchObject([3, [{ name, state: 'damaged' }]])
  expect((await list()).filter(({ state }) => state === 'damaged').map(({ name }) => name)).toEqual([name])
  expect((await parscale(...generate)).stdout).toBe(text)
  expect((await parscale('cache', 'verify', name, '--json')).code).toBe(0)
})

it('finds it beside a command, too', async () => {
  const { folder } = (await list()).find(({ name }) => name.includes('backbone-'))!
  await flipLast(folder, 'weights')
  await rm(join(folder, 'verified.json'), { force: true })
  const found = await parscale(...generate.with(4, '2000'))
  expect(found).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/weights: bytes .* not those that were written; what was computed/),
  })
  expect((await parscale(...generate)).code).toBe(0)
})

it('removes what it was told to, and nothing without --yes', async () => {
  const { name } = (await list()).find(({ name }) => name.includes('backbone-'))!
  expect(await parscale('cache', 'remove', name)).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes') })
  expect((await parscale('cache', 'remove')).code).toBe(2)
  expect((await parscale('cache', 'remove', name, '--all')).code).toBe(2)
  expect((await parscale('cache', 'remove', 'quantised/..', '--yes')).code).toBe(2)
  expect(await list()).not.toEqual([])
  expect((await parscale('cache', 'remove', name, '--all')).code).toBe(2)
  expect((await parscale('cache', 'remove', shortName(name), '--yes')).code).toBe(0)
  expect((await list()).some((entry) => entry.name === name)).toBe(false)
  expect((await parscale('cache', 'remove', gguf, '--yes')).stderr).toMatch(/^removed 1 entry, /)
  expect((await stat(gguf)).isFile()).toBe(true)
})

it('removes what was made of the stream sets of a model with what was made of the model', async () => {
  const ofSmall = (await list()).filter(({ source }) => source.includes('small'))
  expect(ofSmall.length).toBeGreaterThan(1)
  expect((await parscale('cache', 'remove', 'small')).stderr).toContain(`would remove ${ofSmall.length} entries`)
})

it('removes what was not used for so long', async () => {
  const [entry, ...others] = await list()
  const old = new Date(Date.now() - 40 * 24 * 3_600_000)
  await utimes(entry!.folder, old, old)
  expect((await parscale('cache', 'remove', '--unused-for', '6w', '--yes')).stderr).toMatch(/removed 0 entries/)
  expect((await parscale('cache', 'remove', '--unused-for', '30d', '--yes')).code).toBe(0)
  expect((await list()).map(({ name }) => name)).toEqual(others.map(({ name }) => name))
  expect((await parscale('cache', 'remove', '--unused-for', '30', '--yes')).code).toBe(2)
})

it('names what an earlier version made, and removes it', async () => {
  const folder = join(env.PARSCALE_CACHE!, 'packed', 'model-backbone-0123456789ab-0123456789ab')
  await mkdir(folder)
  await writeFile(join(folder, 'weights'), 'x')
  await writeFile(join(folder, 'files.json'), '{"weights":1}')
  expect((await parscale('cache', 'list')).stderr).toMatch(/an earlier version made 1 entry, .* cache remove --outdated/)
  expect((await parscale('cache', 'remove', '--outdated', '--yes')).stderr).toMatch(/^removed 1 entry/)
})

it('leaves what a running process uses, and removes it once that was killed', async () => {
  expect((await parscale(...generate)).code).toBe(0)
  const source = new URL('../../../core/src/node/disk/in-use.ts', import.meta.url).href
  const { folder, name } = (await list()).find(({ name }) => name.includes('backbone-'))!
  const code = `const { markInUse } = await import(${JSON.stringify(source)}); await markInUse(${JSON.stringify(folder)})
    console.log('used'); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code])
  await once(child.stdout, 'data')
  expect((await parscale('cache', 'list')).stdout).toMatch(/STATE\n(.*\n)*.*in use/)
  expect((await parscale('cache', 'remove', '--all', '--yes')).stderr).toContain(`so it stays: ${shortName(name)}`)
  expect((await list()).map(({ name }) => name)).toEqual([name])
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect((await parscale('cache', 'remove', '--all', '--yes')).code).toBe(0)
  expect(await list()).toEqual([])
  expect((await readdir(join(env.PARSCALE_CACHE!, 'packed'))).filter((entry) => entry !== '.lock')).toEqual([])
})
