/** The command on the model that ships and on a tiny shape. No test looks at how long anything took. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { byteModel } from '../../../core/src/testing/fixtures.ts'
import type { BenchResult } from '../bench/run-bench.ts'
import { programFor } from '../cli.ts'
import { chooseEngine } from '../load/decode-engine.ts'
import type { Io } from '../terminal/io.ts'

let cache: string
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'parscale-bench-'))
})
afterEach(() => rm(cache, { recursive: true }))

/** Runs a command line in this process; rejects with what the command throws. */
async function run(line: string, onTalk: (text: string) => void = () => {}, signal = new AbortController().signal) {
  const written = { stdout: '', stderr: '' }
  const io: Io = {
    stdout: (text) => {
      written.stdout += text
    },
    stderr: (text) => {
      written.stderr += text
      onTalk(text)
    },
    isTTY: { stdout: false, stderr: false },
    color: false,
    env: { PARSCALE_CACHE: cache },
    signal,
    progress: () => ({ update: () => {}, end: () => {} }),
  }
  const argv = ['node', 'parscale', 'bench', ...line.split(' ')]
  await (await programFor(argv, io)).parseAsync(argv)
  return written
}

const tiny = '--shape 0.5B --layers 1 --vocab 256 --context 8 --steps 2 --rounds 1 --threads 1'
const left = () => readdir(join(cache, 'bench')).catch(() => [])

describe('a shape', () => {
  test('--json: a row for each case, with figures that agree; nothing stays on disk', async () => {
    const { stdout, stderr } = await run(`${tiny} --p 1,2 --batch 1,2 --json`)
    const { rows, ratios, machine, steps } = JSON.parse(stdout) as BenchResult
    const { engine } = await chooseEngine([])
    expect(rows.map(({ bits, batch, p }) => [bits, batch, p])).toEqual(
      [1, 2].flatMap((batch) => [1, 2].map((p) => [8, batch, p])),
    )
    for (const row of rows) {
      expect(row).toMatchObject({ model: '0.5B of 1 layers', context: 8, prompt: 8, engine, threads: 1 })
      expect(row.msPerTokenSpread.samples).toBe(steps)
      expect(row.msPerTokenSpread.min).toBeLessThanOrEqual(row.msPerToken)
      expect(row.tokensPerSecond).toBeCloseTo((row.batch * 1000) / row.msPerToken, 6)
      expect(row.limitShare!.decode).toBeCloseTo(row.limit!.msPerToken / row.msPerToken, 6)
      expect(row.peakMemoryBytes).toBeGreaterThan(row.weightBytes)
      expect(row.allowedMemoryBytes).toBeCloseTo(1.15 * (row.weightBytes + row.cacheBytes + 150e6), 0)
    }
    // One byte a weight, and four for each 128.
    const weights = 256 * 896 + (896 * (2 * 896 + 2 * 112) + 3 * 896 * 4864)
    const vectors = 3 * 896 + 896 + 2 * 112
    expect(rows[0]!.weightBytes).toBe(weights + weights / 32 + 4 * vectors)
    expect(rows[2]!.cacheBytes).toBe(2 * rows[0]!.cacheBytes)
    expect(ratios.map(({ bits, batch, p, against }) => [bits, batch, p, against])).toEqual([
      [8, 1, 2, 1],
      [8, 2, 2, 1],
    ])
    expect(machine.device!.int8OpsPerSecond).toBeGreaterThan(0)
    expect(stderr.match(/^\d+\/4 {2}0\.5B of 1 layers/gm)).toHaveLength(4)
    expect(await left()).toEqual([])
  })

  test('--keep leaves the model, and the next run takes it; --resume takes turns as done', async () => {
    const turns = join(cache, 'turns.jsonl')
    const first = await run(`${tiny} --p 1 --rounds 2 --keep --resume ${turns} --json`)
    const [kept] = await readdir(join(cache, 'bench', 'kept'))
    expect(kept).toBe('0.5B-of-1-layers-8bit-p1-format2')
    const noted = await readFile(turns, 'utf8')
    await writeFile(turns, `${noted}{"key": "half a li`)
    const second = await run(`${tiny} --p 1 --rounds 2 --resume ${turns} --json`)
    const rowsOf = ({ stdout }: { stdout: string }) =>
      (JSON.parse(stdout) as BenchResult).rows.map(({ msPerTokenSpread }) => msPerTokenSpread)
    expect(rowsOf(second)).toEqual(rowsOf(first))
    expect(rowsOf(second)).toMatchObject([{ samples: 4 }]) // two rounds of two steps
    expect(await readdir(join(cache, 'bench', 'kept'))).toEqual([kept])
    // A line that is whole and something else: a file that was named by mistake.
    await writeFile(turns, `${noted}{"key": "x", "turn": {"stepMs": []}}\n`)
    await expect(run(`${tiny} --p 1 --resume ${turns}`)).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringMatching(/turns\.jsonl, line \d+, is no turn/),
    })
  })

  test('interrupted while it measures: ends at once, and leaves nothing', async () => {
    const interrupt = new AbortController()
    const measuring = (text: string) => /^1\//.test(text) && interrupt.abort()
    await expect(run(`${tiny} --p 1 --rounds 50`, measuring, interrupt.signal)).rejects.toThrow(
      expect.objectContaining({ name: 'AbortError' }),
    )
    expect(await left()).toEqual([])
  })
})

describe('a model', () => {
  test('by a relative path, with a cache and stream sets by relative ones', async () => {
    cache = relative('.', cache)
    const model = relative('.', byteModel)
    const { stdout } = await run(`${model} --p 1,2,8 --context 8 --steps 1 --rounds 1 --threads 1 --json`)
    expect((JSON.parse(stdout) as BenchResult).rows.map(({ p }) => p)).toEqual([1, 2, 8])
    expect(await left()).toEqual([])
  })

  test('the one that ships, quantised, with a P that it lacks: table and chart', async () => {
    const chart = join(cache, 'bench.svg')
    const { stdout } = await run(`--p 1,3 --bits 4 --context 8 --prompt 4 --steps 2 --rounds 1 --plot ${chart}`)
    expect(stdout).toMatch(/^reads [\d.]+ GB\/s; products: /m)
    expect(stdout).toMatch(
      /^model shipped, engine (native|onnx), threads auto, bits 4, kv f32, context 8, batch 1; medians of 1 round\(s\) of 2 tokens$/m,
    )
    expect(stdout).toMatch(/^P = 3 takes [\d.]+ times as long as P = 1 \(rounds: /m)
    expect(await readFile(chart, 'utf8')).toMatch(/^<svg[\s\S]*Peak memory/)
    expect(await left()).toEqual([])
  })
})

test('figure 4: measured ratios beside the computed ones', async () => {
  const { stdout, stderr } = await run('--figure 4 --quick --layers 1 --vocab 256 --prompt 4 --steps 2 --threads 1 --json')
  const { headlines, points, length } = JSON.parse(stdout)
  expect(length).toBe(4)
  expect(points.map(({ model, p }: { model: string; p: number }) => `${model} ${p}`)).toEqual([
    '1.6B of 1 layers 1',
    '1.6B of 1 layers 8',
    '2.8B of 1 layers 1',
    '4.4B of 1 layers 1',
  ])
  const [{ batch, measured, computed }] = headlines
  expect(batch).toBe(1)
  expect(computed.memory.ratio).toBeCloseTo(22.545, 3)
  expect(computed.latency.ratio).toBeCloseTo(6.425, 3)
  const [base, parallel, larger, largest] = points.map(({ memoryBytes }: { memoryBytes: number }) => memoryBytes)
  expect(measured.memory.ratio).toBeCloseTo((larger + (2 / 7) * (largest - larger) - base) / (parallel - base), 2)
  expect(stderr).toContain('input and output of 4 tokens each')
})

describe('what cannot be measured is refused before anything is written', () => {
  test.each([
    ['--shape 9B', /'9B' is invalid/],
    ['--shape 1.6B --bits 5', /it must be 8, 4 or 32/],
    ['--shape 1.6B --p 0', /expected whole numbers/],
    ['--engine gpu', /it must be auto, native or onnx/],
    ['./model --shape 1.6B', /either MODEL or --shape/],
    ['--layers 2', /--layers has no effect without --shape/],
    ['--quick', /--quick has no effect without --figure 4/],
    ['--figure 4 --context 100', /--context has no effect/],
    ['--figure 4 ./model', /MODEL has no effect/],
    ['nowhere/at-all/here', /there is no such file or folder/],
    ['--shape 4.4B --bits 32 --batch 512 --p 8', /4\.4B in 32 bits at P = 8, batch 512, context 256 needs \d+ GB of memory/],
    ['--shape 0.5B --layers 1 --vocab 256 --steps 99999999 --p 1', /needs [\d.]+ [GT]B of memory/],
  ])('%s', async (line, message) => {
    await expect(run(line)).rejects.toThrow(message)
    expect(await left()).toEqual([])
  })

  test('a cache that cannot be written', async () => {
    await writeFile(join(cache, 'file'), '')
    await mkdir(join(cache, 'other'))
    cache = join(cache, 'file')
    const failure = run(`${tiny} --p 1`)
    await expect(failure).rejects.toThrow(/cannot be written \(ENOTDIR\)/)
    cache = join(cache, '..')
  })
})
