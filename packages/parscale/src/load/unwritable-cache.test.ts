/**
 * A cache that cannot be written, by every command and engine: what needs no file there runs, with one line where something would have
 * been kept; the rest says which file, and what to do. Nothing is left in the place. Full disks and other users: places.real.test.ts.
 */
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isParscaleError, type ParscaleError } from '@parscale/core/internal'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { killServers, startServer } from '../serve/testing/server-process.ts'
import { engines } from '../testing/engines.ts'
import { runHere } from '../testing/run-here.ts'
import { shippedModel } from './find-model.ts'
import { loadTextModel } from './load.ts'

let folder: string
let writable: NodeJS.ProcessEnv
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-unwritable-'))
  await writeFile(join(folder, 'file'), '')
  await mkdir(join(folder, 'home'))
  await writeFile(join(folder, 'home', '.cache'), '')
  writable = { PARSCALE_CACHE: join(folder, 'cache') }
})
afterAll(async () => {
  killServers()
  await rm(folder, { recursive: true })
})

const places: readonly (readonly [string, () => NodeJS.ProcessEnv])[] = [
  ['a file stands there', () => ({ PARSCALE_CACHE: join(folder, 'file') })],
  ['a file stands above it', () => ({ PARSCALE_CACHE: join(folder, 'file', 'cache') })],
  ...(existsSync('/proc/self') ? [['it is in /proc', () => ({ PARSCALE_CACHE: '/proc/cache' })] as const] : []),
  ['there is none, and the platform has a file there', () => ({ XDG_CACHE_HOME: join(folder, 'home', '.cache') })],
]
const advice = /\S+: cannot be written \(E[A-Z]+\); set PARSCALE_CACHE to a folder that can\n$/
const inMemory = new RegExp(`^weights are packed in memory, at each start: ${advice.source}`)
const refused = new RegExp(`^parscale: ${advice.source}`)

const stored = ['score', shippedModel, '--ids', '1,2,3', '--p', '2', '--threads', '1']
const rounded = [...stored, '--bits', '8']

describe.runIf(engines.includes('native'))('the native step', () => {
  describe.each(places)('%s', (_, place) => {
    it('runs weights as they are stored, and says nothing', async () => {
      expect(await runHere(stored, place())).toEqual(await runHere(stored, writable))
    })

    it.each(['auto', 'native'])('rounds weights in memory, to the same numbers (%s)', async (engine) => {
      const args = [...rounded, '--engine', engine]
      const { code, stdout, stderr } = await runHere(args, place())
      expect([code, stderr]).toEqual([0, expect.stringMatching(inMemory)])
      expect(stdout).toBe((await runHere(args, writable)).stdout)
    })

    it('is no reason for the library to fail, which says why', async () => {
      const said: ParscaleError[] = []
      const options = { bits: 8, engine: 'native', threads: 1, onUnkept: (reason: ParscaleError) => said.push(reason) } as const
      const texts: string[] = []
      for (const env of [place(), writable]) {
        const text = await loadTextModel(shippedModel, { ...options, env })
        texts.push((await text.generate('The people', { maxTokens: 4, temperature: 0 })).text)
        await text.dispose()
      }
      expect(texts[0]).toBe(texts[1])
      expect(said.map(({ kind, facts }) => [kind, facts.file])).toEqual([['usage', expect.stringContaining('/packed/')]])
      expect(said.every(isParscaleError)).toBe(true)
    })
  })

  const file = () => places[0]![1]()
  it.each([
    ['generate', ['generate', shippedModel, '--prompt', 'The', '--max-tokens', '3', '--temperature', '0']],
    ['diagnose', ['diagnose', shippedModel, '--ids', '1,2,3,4,5,6', '--p', '2']],
  ])('%s', async (_, args) => {
    const { code, stderr } = await runHere([...args, '--bits', '4'], file())
    expect([code, stderr.match(/^weights are packed.*$/gm)?.length]).toEqual([0, 1])
  })

  it('serve', async () => {
    const { url, output } = await startServer(['--bits', '8'], { env: file() })
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'parscale-small', prompt: 'The people', max_tokens: 2 }),
    })
    expect(response.status).toBe(200)
    expect(output.stderr.match(/^weights are packed in memory, at each start: .*$/gm)).toHaveLength(1)
  })

  it('bench runs a model as it is stored; what it would have to write it names', async () => {
    const bench = [
      'bench',
      shippedModel,
      '--context',
      '8',
      '--steps',
      '1',
      '--rounds',
      '1',
      '--threads',
      '1',
      '--engine',
      'native',
    ]
    expect(await runHere([...bench, '--p', '1,8'], file())).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^P = 8 takes/m),
    })
    for (const more of [
      ['--p', '3'],
      ['--p', '1', '--bits', '8'],
    ]) {
      const { code, stderr } = await runHere([...bench, ...more], file())
      expect([code, stderr.replace(/^native runs with .*\n/, '')]).toEqual([2, expect.stringMatching(refused)])
    }
  })
})

it('ONNX Runtime maps files: it says which one it cannot write', async () => {
  for (const [, place] of places)
    expect(await runHere([...rounded, '--engine', 'onnx'], place())).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(refused),
    })
})

it('leaves nothing in these places', async () => {
  expect((await readdir(folder, { recursive: true })).filter((name) => !name.startsWith('cache'))).toEqual([
    'file',
    'home',
    join('home', '.cache'),
  ])
})
