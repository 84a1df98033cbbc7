/**
 * Where a command may not write: a cache on a read-only mount, of another user or on a full disk, no home folder, a full or read-only
 * /tmp. What is there is used, what is not needed is done without, with one line where something would have been kept, and the rest is
 * one line with the path and exit code 2. Linux, as root for what needs another user or a mount.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { resolveShape } from '../bench/model-shape.ts'
import { syntheticBytes } from '../bench/synthetic-model.ts'
import { shippedModel } from './find-model.ts'

const program = fileURLToPath(new URL('../../bin/parscale.js', import.meta.url))
const root = fileURLToPath(new URL('../../../..', import.meta.url))
const nobody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
/** A user with a number and nothing else, as containers have. */
const nameless = ['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups']

const can = (command: readonly string[]) => spawnSync(command[0]!, [...command.slice(1), 'true']).status === 0
const mounts = can(['bwrap', '--dev-bind', '/', '/'])
const users = can(nobody)
if (!mounts || !users)
  process.stderr.write(`left out: ${mounts ? '' : 'read-only mounts (no bwrap) '}${users ? '' : 'other users (not root)'}\n`)

let folder: string
const cache = (name: string) => join(folder, name)
beforeAll(() => {
  folder = mkdtempSync('/var/tmp/parscale-places-')
  chmodSync(folder, 0o755)
  for (const name of ['empty', 'warm']) mkdirSync(cache(name))
  for (const args of [score, bits]) expect(run([], args, { PARSCALE_CACHE: cache('warm') }).code).toBe(0)
})
afterAll(() => rmSync(folder, { recursive: true }))

const score = ['score', shippedModel, '--ids', '1,2,3', '--p', '1', '--threads', '1']
const bits = [...score, '--bits', '8']

function run(within: readonly string[], args: readonly string[], set: NodeJS.ProcessEnv) {
  const env: NodeJS.ProcessEnv = { ...process.env, ...set }
  for (const [name, value] of Object.entries(set)) if (value === undefined) delete env[name]
  const [command, ...rest] = [...within, process.execPath, program, ...args]
  const { status: code, stdout, stderr } = spawnSync(command!, rest, { env, encoding: 'utf8', cwd: folder })
  return { code, stdout, stderr }
}

const line = (what: string) => `/\\S+: ${what}\\n$`
const denied = (code: string) => line(`cannot be written \\(${code}\\); set PARSCALE_CACHE to a folder that can`)
const full = line('the disk is full; nothing was left behind. Free some space or set PARSCALE_CACHE to a folder on another disk')
const inMemory = (why: string) => expect.stringMatching(`^weights are packed in memory, at each start: ${why}`)
const refused = (why: string) => expect.stringMatching(`^parscale: ${why}`)
const mounted = (name: string) => ['bwrap', '--dev-bind', '/', '/', '--ro-bind', cache(name), cache(name)]

it.runIf(mounts)('a cache on a read-only mount', () => {
  const warm = { PARSCALE_CACHE: cache('warm') }
  for (const args of [score, bits]) expect(run(mounted('warm'), args, warm)).toEqual(run([], args, warm))
  const empty = { PARSCALE_CACHE: cache('empty') }
  expect(run(mounted('empty'), score, empty)).toEqual(run([], score, warm))
  expect(run(mounted('empty'), bits, empty)).toEqual({ ...run([], bits, warm), stderr: inMemory(denied('EROFS')) })
  const graphs = [...bits, '--engine', 'onnx']
  expect(run(mounted('empty'), graphs, empty)).toEqual({ code: 2, stdout: '', stderr: refused(denied('EROFS')) })
  expect(readdirSync(cache('empty'))).toEqual([])
})

it.runIf(users)("another user's cache", () => {
  const warm = { PARSCALE_CACHE: cache('warm') }
  for (const args of [score, bits]) expect(run(nobody, args, warm)).toEqual(run([], args, warm))
  const four = [...score, '--bits', '4']
  const expected = run([], four, { PARSCALE_CACHE: cache('four') })
  expect(run(nobody, four, warm)).toEqual({ ...expected, stderr: inMemory(denied('EACCES')) })
  chmodSync(cache('warm'), 0o700)
  expect(run(nobody, score, warm)).toMatchObject({ code: 0, stdout: expect.stringContaining('perplexity') })
  chmodSync(cache('warm'), 0o755)
})

it.runIf(mounts)('a cache on a disk that is full while weights are packed', () => {
  const expected = run([], bits, { PARSCALE_CACHE: cache('warm') })
  const [packed] = readdirSync(join(cache('warm'), 'packed'))
    .filter((name) => name.startsWith('backbone-'))
    .map((name) => statSync(join(cache('warm'), 'packed', name, 'weights')).size)
  for (const size of [4096, packed! / 2, packed! - 4096].map((bytes) => Math.ceil(bytes / 4096) * 4096)) {
    const disk = ['bwrap', '--dev-bind', '/', '/', '--size', String(size), '--tmpfs', cache('empty')]
    const listing = ['sh', '-c', '"$@"; code=$?; find "$0" -type f -path "*/packed/*" >&2; exit $code', cache('empty')]
    const one = { PARSCALE_CACHE: cache('empty') }
    expect([size, run([...disk, ...listing], bits, one)]).toEqual([size, { ...expected, stderr: inMemory(full) }])
  }
})

it.runIf(mounts)('a disk that holds a model once, for a bench of weights that are packed in memory', async () => {
  const { shape } = await resolveShape('0.5B', { layers: 1, vocab: 256 }, process.env)
  const cut = ['bench', '--shape', '0.5B', '--layers', '1', '--vocab', '256', '--p', '1']
  const bench = [...cut, '--context', '8', '--steps', '1', '--rounds', '1', '--threads', '1', '--engine', 'native', '--json']
  const within = (bytes: number) => ['bwrap', '--dev-bind', '/', '/', '--size', String(bytes), '--tmpfs', cache('empty')]
  const one = { PARSCALE_CACHE: cache('empty') }
  const once = syntheticBytes({ shape, bits: 8, streams: [1] })
  const refused = /^parscale: \S+: the models take [\d.]+ MB on disk, [\d.]+ MB are free; choose fewer bits/m
  expect(run(within(Math.round(0.9 * once)), bench, one)).toMatchObject({ code: 4, stderr: expect.stringMatching(refused) })
  expect(run(within(Math.round(1.1 * once)), bench, one)).toMatchObject({
    code: 0,
    stderr: expect.not.stringContaining('in memory'),
  })
})

it.runIf(users)('no home folder', () => {
  const none = {
    HOME: undefined,
    XDG_CACHE_HOME: undefined,
    PARSCALE_CACHE: undefined,
    HF_HOME: undefined,
    HF_HUB_CACHE: undefined,
  }
  const message = 'parscale: there is no home folder to keep files in: set HOME, or both PARSCALE_CACHE and HF_HOME\n'
  for (const args of [score, ['models'], ['pull', 'ORG/NAME']])
    expect(run(nameless, args, none)).toEqual({ code: 2, stdout: '', stderr: message })
  const warm = { ...none, PARSCALE_CACHE: cache('warm'), HF_HOME: cache('hub') }
  expect(run(nameless, score, warm)).toEqual(run([], score, warm))
  const expected = { ...run([], bits, warm), stderr: inMemory(denied('EACCES')) }
  expect(run(nameless, bits, { ...none, HOME: '/nonexistent' })).toEqual(expected)
  // An empty HOME is none: nothing is kept in the folder where one happens to be.
  expect(run(nobody, bits, { ...none, HOME: '' })).toEqual(expected)
})

it.runIf(mounts)('a full and a read-only /tmp', () => {
  // A checkout may lie in /tmp itself.
  const checkout = ['--ro-bind', root, root]
  const filled = ['bwrap', '--dev-bind', '/', '/', '--size', '4096', '--tmpfs', '/tmp', ...checkout]
  for (const within of [filled, ['bwrap', '--dev-bind', '/', '/', '--ro-bind', '/tmp', '/tmp', ...checkout]]) {
    const fresh = { PARSCALE_CACHE: mkdtempSync(join(folder, 'cache-')) }
    expect(run(within, bits, fresh)).toEqual(run([], bits, fresh))
  }
})
