/** What commands show at terminals of 40, 80 and 120 columns: no line is wider, and no number is cut. Kept in testing/screens/. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { byteModel, fixturesFolder } from '../../core/src/testing/fixtures.ts'
import { commands } from './cli.ts'
import { benchText } from './commands/bench-report.ts'
import { wrapLines } from './terminal/wrap.ts'
import { wordsOf } from './testing/mistakes.ts'
import { runHere } from './testing/run-here.ts'

const widths = [40, 80, 120]
const kept = (name: string) => fileURLToPath(new URL(`./testing/screens/${name}.txt`, import.meta.url))

let folder: string
const before = process.cwd()
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'parscale-screens-'))
  process.chdir(fixturesFolder)
})
afterAll(() => {
  process.chdir(before)
  rmSync(folder, { recursive: true })
})

/** Both outputs, as one terminal shows them. */
async function screen(line: string, columns: number | undefined): Promise<string> {
  const env = {
    HF_HOME: join(folder, 'hub'),
    PARSCALE_CACHE: join(folder, 'cache'),
    HF_HUB_OFFLINE: '1',
    PARSCALE_CONFIG: '/dev/null',
  }
  const { stdout, stderr } = await runHere(wordsOf(line), env, { columns })
  return wrapLines(stderr, columns) + stdout
}

/** What the machine decides: the instruction set, free memory. */
const settled = (text: string): string =>
  text.replace(/native \(\w+\)|ONNX Runtime: .*/g, 'ENGINE').replace(/[\d.]+ [GM]B are\s+free/g, 'MEMORY free')

/** At each width; fails where a line is wider. */
async function screens(line: string, shown = (width: number) => screen(line, width)): Promise<string> {
  const all: string[] = []
  for (const width of widths) {
    const text = await shown(width)
    // A word that is longer than a line (a path to copy) stays whole.
    const over = text.split('\n').filter((each) => each.length > width && each.trim().includes(' '))
    expect(over, `${line}, at ${width} columns`).toEqual([])
    all.push(`--- ${width} columns: parscale ${line}\n${settled(text)}`)
  }
  return all.join('\n')
}

const shows = async (name: string, line: string, shown?: (width: number) => Promise<string>): Promise<void> =>
  await expect(await screens(line, shown)).toMatchFileSnapshot(kept(name))

describe('help', () => {
  it('of the program', async () => await shows('help', '--help'))
  it.each(commands.map(({ name }) => name))('of %s', async (name) => await shows(`help-${name}`, `${name} --help`))
})

describe('results', () => {
  it.each([
    ['models', 'models'],
    ['cost', 'cost 1.6B --p 8 --device rtx-4090 --weight-bits 4.5 --explain'],
    ['cost-reference', 'cost 1.6B --p 8 --mode reference --explain'],
    ['cost-training', 'cost 1.6B --p 8 --train-tokens 1T,20B --gpus 64'],
    ['cost-devices', 'cost --list-devices'],
    ['plan', 'plan --device rtx-4090 --memory 2GiB --time-per-token 5ms'],
    ['plan-figure4', 'plan --figure 4'],
    ['plan-workers', 'plan --workers 8,64,512 --p 8 --pass-seconds 40'],
    ['fit', 'fit --bootstrap 20'],
    ['predict', 'predict --n 1.6B --larger-n 2.8B --bootstrap 20'],
    ['inspect', 'inspect byte-p8'],
    ['diagnose', 'diagnose byte-p8 --ids 72,101,108,108,111,32,119,111,114,108,100'],
  ])('of %s', async (name, line) => await shows(name, line))
})

describe('what differs from run to run', () => {
  it.each(['cache list', 'cache verify', 'compare byte-p8 --bits 8 --text "A few words to compare" --p 1'])(
    '%s has its width',
    async (line) => {
      await runHere(wordsOf('score byte-p8 --ids 1,2,3'), { PARSCALE_CACHE: join(folder, 'cache') })
      expect(await screens(line)).toContain('--- 120 columns')
    },
  )
})

describe('recorded results', () => {
  it('of bench', async () => {
    const recorded = JSON.parse(readFileSync(fileURLToPath(new URL('./testing/recorded-bench.json', import.meta.url)), 'utf8'))
    await shows('bench', 'bench --p 1,8 --bits 8,4', async (width) => wrapLines(benchText(recorded, width), width))
  })
})

describe('failures', () => {
  it.each([
    ['failure-command', 'list'],
    ['failure-model', 'generate ParScale/ParScale-1.8B-P8-Isnt --prompt hi'],
    ['failure-option', 'generate --ctx-size 4096'],
  ])('%s', async (name, line) => await shows(name, line))
})

describe('in a pipe', () => {
  it.each(['models', 'plan --figure 4', 'cost --list-devices', 'predict --n 1.6B --bootstrap 20', `inspect ${byteModel}`])(
    'no width narrows %s',
    async (line) => {
      // What is free is another number from one moment to the next.
      const lines = async (width?: number) => (await screen(line, width)).replace(/\S+ GB are free/, 'some are free')
      expect(await lines()).toBe(await lines(1000))
    },
  )
})
