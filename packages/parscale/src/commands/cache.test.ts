/** The cache as a person sees it: listed, verified to the bit, removed; damage is found whichever entry has it. */
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { fixturesFolder } from '../../../core/src/testing/fixtures.ts'
import { runHere } from '../testing/run-here.ts'

let scratch: string
let env: NodeJS.ProcessEnv
const parscale = (...args: string[]) => runHere(args, env)
const list = async (): Promise<{ name: string; kind: string; folder: string; source: string; state: string }[]> =>
  JSON.parse((await parscale('cache', 'list', '--json')).stdout)
const generate = ['generate', '--prompt', 'a', '--max-tokens', '2', '--temperature', '0', '--bits', '8', '--engine', 'native']

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'parscale-cache-'))
  env = { ...process.env, PARSCALE_CACHE: join(scratch, 'cache') }
  expect((await parscale(...generate)).code).toBe(0)
  expect((await parscale('score', `${fixturesFolder}gguf/qwen2-p1.gguf`, '--ids', '1,2,3', '--engine', 'onnx')).code).toBe(0)
}, 60_000)
afterAll(() => rm(scratch, { recursive: true }))

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
  const entries = await list()
  expect(entries.map(({ kind }) => kind)).toEqual(['gguf', 'quantised', 'packed'])
  expect(entries.every(({ state }) => state === 'whole')).toBe(true)
  expect(entries.map(({ source }) => basename(source))).toEqual(['qwen2-p1.gguf', 'small', basename(entries[1]!.folder)])
  expect((await parscale('cache', 'list')).stdout).toMatch(
    /NAME +SIZE +LAST USED +STATE +MADE OF\n[^\n]+\nquantised\/small-int8-/,
  )
})

it('names every entry in which a bit has flipped, and makes it anew when it is asked for', async () => {
  const text = (await parscale(...generate)).stdout
  expect(await parscale('cache', 'verify')).toMatchObject({ code: 0, stderr: expect.stringContaining('none damaged') })
  const { name, folder } = (await list()).find(({ name }) => name.includes('-backbone-'))!
  await flipLast(folder, 'weights')
  const verified = await parscale('cache', 'verify')
  expect(verified).toMatchObject({ code: 3, stderr: expect.stringContaining(`damaged: ${name};`) })
  expect(verified.stdout).toMatch(/damaged +weights bytes 0 to \d+ are not those that were written/)
  expect((await list()).filter(({ state }) => state === 'damaged').map(({ name }) => name)).toEqual([name])
  expect((await parscale(...generate)).stdout).toBe(text)
  expect((await parscale('cache', 'verify', name, '--json')).code).toBe(0)
})

it('finds it beside a command, too', async () => {
  const { folder } = (await list()).find(({ name }) => name.includes('-backbone-'))!
  await flipLast(folder, 'weights')
  await rm(join(folder, 'verified.json'), { force: true })
  const found = await parscale(...generate.with(4, '2000'))
  expect(found).toMatchObject({
    code: 3,
    stderr: expect.stringMatching(/weights: bytes .* not those that were written; what was computed/),
  })
  expect((await parscale(...generate)).code).toBe(0)
}, 60_000)

it('removes what it was told to, and nothing without --yes', async () => {
  const { name } = (await list())[1]!
  expect(await parscale('cache', 'remove', name)).toMatchObject({ code: 2, stderr: expect.stringContaining('add --yes') })
  expect((await parscale('cache', 'remove')).code).toBe(2)
  expect((await parscale('cache', 'remove', name, '--all')).code).toBe(2)
  expect((await parscale('cache', 'remove', 'quantised/..', '--yes')).code).toBe(2)
  expect(await list()).not.toEqual([])
  expect((await parscale('cache', 'remove', name, '--yes')).code).toBe(0)
  expect((await list()).some((entry) => entry.name.startsWith(name))).toBe(false)
  expect((await parscale('cache', 'remove', '--all', '--yes')).code).toBe(0)
  expect(await list()).toEqual([])
  expect((await readdir(join(env.PARSCALE_CACHE!, 'quantised'))).filter((entry) => entry !== '.lock')).toEqual([])
})
