import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { countParameters, publishedModel } from '@parscale/core/internal/cost'
import { elementCount } from '@parscale/core/internal/model'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parametersOfShape } from '../bench/model-shape.ts'
import { programFor } from '../cli.ts'
import type { Io } from '../terminal/io.ts'
import { textTable } from '../terminal/text-table.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'parscale-law-'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Runs a command line in this process; rejects with what the command throws. */
async function run(line: string, signal = new AbortController().signal) {
  const written = { stdout: '', stderr: '' }
  const io: Io = {
    stdout: (text) => {
      written.stdout += text
    },
    stderr: (text) => {
      written.stderr += text
    },
    isTTY: { stdout: false, stderr: false },
    color: false,
    env: {},
    signal,
    progress: () => ({ update: () => {}, end: () => {} }),
  }
  const argv = ['node', 'parscale', ...line.split(' ')]
  await (await programFor(argv, io)).parseAsync(argv)
  return written
}

const csv = async (content: string) => {
  const file = join(folder, 'data.csv')
  await writeFile(file, content)
  return file
}

describe('fit', () => {
  test("--json: the paper's parameters, A in parameters", async () => {
    const { stdout } = await run('fit --dataset stack-v2-python --bootstrap 20 --json')
    const { params, r2, intervals, comparison, paper } = JSON.parse(stdout)
    expect(params).toEqual({
      E: expect.closeTo(0.6912, 4),
      A: expect.closeTo(1.131e7, -4),
      alpha: expect.closeTo(0.1894, 4),
      k: expect.closeTo(0.3935, 4),
    })
    expect(paper).toMatchObject({ E: 0.6912, A: 1.131e7 })
    expect(r2).toBeCloseTo(0.9978, 4)
    expect(intervals.k.low).toBeLessThan(params.k)
    expect(comparison.map(({ law }: { law: string }) => law)).toEqual(['log', 'correlation', 'power'])
  })

  test('text holds parameters, residuals, comparison and a plot; --latex the law', async () => {
    const { stdout } = await run('fit --dataset pile --bootstrap 10')
    for (const part of [
      'R2 0.9987',
      '1.975e+8',
      '1.2888',
      "round to the paper's",
      '1.8451',
      'against power: likelihood ratio',
      'loss against parameters N',
    ])
      expect(stdout).toContain(part)
    expect((await run('fit --dataset pile --bootstrap 0 --latex')).stdout).toContain(
      '\\left(\\frac{A}{N\\,(k\\ln P+1)}\\right)^{\\alpha}',
    )
  })

  test('--plot writes an SVG of three panels; other endings are refused', async () => {
    const file = join(folder, 'fit.svg')
    await run(`fit --dataset pile --bootstrap 5 --plot ${file}`)
    const svg = await readFile(file, 'utf8')
    for (const title of ['log law (Equation 5)', 'Lines of equal loss', 'Residuals'])
      expect(svg.includes(title), title).toBe(true)
    const nowhere = join(folder, 'no', 'fit.svg')
    await expect(run(`fit --dataset pile --bootstrap 0 --plot ${nowhere}`)).rejects.toMatchObject({ kind: 'usage' })
    await expect(run('fit --dataset pile --plot fit.gif')).rejects.toThrow('ends in .svg or .png')
  })

  test('a file with D is fitted by a joint law; a law without D says that it does not look', async () => {
    const rows = [1e9, 2e9, 4e9].flatMap((N) =>
      [1, 4].flatMap((P) =>
        [1e10, 1e11, 1e12].map((D) => {
          const loss = 0.7 + (2e7 / (N * (0.4 * Math.log(P) + 1))) ** 0.2 + (1e9 / D) ** 0.3
          return [N, P, loss.toFixed(4), D].join()
        }),
      ),
    )
    const file = await csv(`N,P,loss,D\n${rows.join('\n')}`)
    const { law, params } = JSON.parse((await run(`fit ${file} --bootstrap 0 --json`)).stdout)
    expect(law).toBe('joint-log')
    expect(params.k).toBeCloseTo(0.4, 2)
    expect((await run(`fit ${file} --law log --bootstrap 0 --json`)).stderr).toContain('D varies in the data')

    // Training FLOPs then buy tokens: fewer for models with more parameters or streams.
    const { best } = JSON.parse((await run(`plan ${file} --train-flops 1e21 --formats f16 --json`)).stdout)
    expect(best.trainingFlops).toBe(1e21)
    expect(best.trainingTokens).toBeLessThan(1e21 / (6 * best.N))
  })

  test.each([
    ['', 'is empty'],
    ['N,P,loss\n1e9,1,1.2\n1e9,1,1.2', 'line 3: repeats N = 1000000000, P = 1 of line 2'],
    ['N,P,loss\n-1e9,1,1.2', 'line 2, column 1 (N): expected a number greater than 0'],
    ['N,P,loss\n1e9,1,x', 'line 2, column 3 (loss)'],
    ['N,P,loss\n1e9,1,1.2\n2e9,1,1.1\n3e9,1,1.0\n4e9,1,0.9', 'k of the log law cannot be determined'],
    ['N,P,loss\n1e9,1,1.2\n2e9,2,1.1', '2 points cannot determine'],
    ['N,P,loss\n1e9,1,1.5\n2e9,1,1.5\n4e9,1,1.5\n1e9,2,1.5\n2e9,2,1.5', 'A, alpha, k cannot be determined'],
    ['N,P,loss\n1e9,1,1.5\n2e9,1,1.6\n4e9,1,1.7\n1e9,2,1.6\n2e9,2,1.7', 'do not fall as the log law has it: A, k'],
  ])('%j is a usage error', async (content, message) => {
    await expect(run(`fit ${await csv(content)}`)).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining(message),
    })
  })

  test('Ctrl-C ends the bootstrap', async () => {
    await expect(run('fit --dataset pile --bootstrap 100000', AbortSignal.abort())).rejects.toThrow('aborted')
  })

  test('no data, both kinds of data, a missing file', async () => {
    expect(JSON.parse((await run('fit --bootstrap 0 --json')).stdout).source).toBe('stack-v2-python')
    await expect(run('fit x.csv --dataset pile')).rejects.toThrow('not both')
    await expect(run('fit missing.csv')).rejects.toThrow('missing.csv: there is no such file')
  })
})

describe('predict', () => {
  test('loss, equivalent N and P with intervals', async () => {
    const { stdout, stderr } = await run('predict --n 1.6B --p 8 --larger-n 2.8B --bootstrap 30 --json')
    const { loss, equivalentParameters, equivalentStreams, warnings } = JSON.parse(stdout)
    expect(loss.value).toBeCloseTo(1.0408, 4)
    expect(equivalentParameters.value / 1.6e9).toBeCloseTo(1 + 0.39346 * Math.log(8), 3)
    expect(equivalentStreams.value).toBeGreaterThan(equivalentStreams.interval.low)
    expect([warnings, stderr]).toEqual([[], ''])
  })

  test('warns beyond the fitted range', async () => {
    expect((await run('predict --n 7B --p 16 --bootstrap 0')).stderr).toContain('P = 16 is outside the fitted range 1 to 8')
  })

  test('says when --d is not looked at', async () => {
    expect((await run('predict --n 1B --d 1T --bootstrap 0')).stderr).toContain('the log law does not look at --d')
  })

  test('refuses what cannot be answered', async () => {
    await expect(run('predict --n 1B --larger-n 0.5B --bootstrap 0')).rejects.toThrow('smaller than --n')
    await expect(run('predict --n abc')).rejects.toThrow('such as 1.6B')
  })
})

describe('cost', () => {
  test("mode reference prints the paper's line", async () => {
    expect((await run('cost 4.4B --p 2 --batch 2 --input 64 --output 64 --mode reference')).stdout).toContain(
      'Memory: 8.951GB; Latency: 0.354s',
    )
    expect((await run('cost 1.6B --mode reference --explain')).stdout).toContain('the whole final cache read and written')
  })

  test("the hub's names, a config.json, a checkpoint folder and shapes by hand", async () => {
    const parameters = async (line: string) => JSON.parse((await run(`cost ${line} --json`)).stdout).parameters
    expect((await parameters('ParScale/ParScale-1.8B-P8')).nonEmbedding).toBe(1595669000)
    const golden = fileURLToPath(new URL('../../../../fixtures/goldens/parscale-p4', import.meta.url))
    expect((await parameters(`${golden}/config.json`)).total).toBe((await parameters(golden)).total)
    expect((await parameters('--hidden 1536 --intermediate 8320 --layers 36 --heads 16 --kv-heads 2')).nonEmbedding).toBe(
      1571472384,
    )
  })

  test('--explain shows terms that add up; training has two ways', async () => {
    const { memory, memoryBytes, training } = JSON.parse(
      (await run('cost 1.6B --p 8 --device l4 --train-tokens 1T,20B --json')).stdout,
    )
    expect(memory.reduce((sum: number, { value }: { value: number }) => sum + value, 0)).toBe(memoryBytes)
    expect(training.ratio).toBeGreaterThan(6)
    const { stdout } = await run('cost 1.6B --train-tokens 42B --explain')
    for (const part of ['KV cache', 'R T L 2 k c / 8', 'FLOPs a token: 3 (P (2 M']) expect(stdout).toContain(part)
    expect((await run('cost --list-devices')).stdout).toContain('raspberry-pi-5')
  })

  test('this machine is measured', async () => {
    const { device } = JSON.parse((await run('cost 0.5B --device this-machine --weight-bits 32 --json')).stdout)
    expect(device.bytesPerSecond).toBeGreaterThan(1e8)
    expect(device.flopsPerSecond).toBeGreaterThan(1e8)
  })

  test.each([
    ['cost', 'name a MODEL'],
    ['cost 1.6B --device abacus', "'abacus' is not known"],
    ['cost 1.6B --weight-bits 99', 'weightBits must be'],
    ['cost missing/config.json', 'cannot be read'],
    ['cost 9B', 'not one of the published sizes 0.5B'],
    ['cost 1.6B --mode reference --device h100', '--device has no effect in mode reference'],
    ['cost 1.6B --mode reference --kv-bits 8', '--kv-bits has no effect'],
    ['cost 1.6B --gpus 8', '--gpus has no effect without --train-tokens'],
    ['cost 1.6B --hidden 1000', 'headDim must be a whole number'],
  ])('%s', async (line, message) => {
    await expect(run(line)).rejects.toThrow(message)
  })
})

describe('plan', () => {
  test('a budget gives a plan, a table and a plot', async () => {
    const { stdout } = await run('plan --memory 2GiB --time-per-token 5ms')
    expect(stdout).toMatch(/best: N = [\d.]+B, P = 8/)
    expect(stdout).toContain('not beaten in loss')
    const { best, pareto } = JSON.parse((await run('plan --memory 2GiB --formats f16 --json')).stdout)
    expect(best.memoryBytes).toBeLessThanOrEqual(2 * 2 ** 30)
    expect(pareto.every(({ format }: { format: string }) => format === 'f16')).toBe(true)
  })

  test('--figure 4 has the headlines and the row where streams lose', async () => {
    const { headlines, points } = JSON.parse((await run('plan --figure 4 --json')).stdout)
    expect(headlines.map(({ latency }: { latency: { ratio: number } }) => Number(latency.ratio.toFixed(2)))).toEqual([
      6.43, 3.25, 1.67, 0.88, 1.77,
    ])
    expect(points.length).toBe(96)
    expect((await run('plan --figure 4')).stdout).toContain('22x, 6x')
  })

  test('impossible budgets and unknown formats', async () => {
    await expect(run('plan --memory 1MB')).rejects.toMatchObject({
      kind: 'usage',
      message: expect.stringContaining('no candidate meets the budget'),
    })
    await expect(run('plan --figure 4 --memory 4GiB')).rejects.toThrow('--memory has no effect with --figure')
    await expect(run('plan --formats q1')).rejects.toThrow("'q1' is not known")
    await expect(run('plan --memory 0GiB')).rejects.toThrow('greater than 0')
  })
})

test('tables: numbers to the right, words to the left', () => {
  expect(
    textTable([
      ['a', 'b'],
      ['x', '10'],
      ['long', '9 %'],
    ]),
  ).toBe('a       b\nx      10\nlong  9 %\n')
})

describe('plan --workers', () => {
  test('step time, what binds, and where each input comes from', async () => {
    const { stdout } = await run('plan --workers 8,64,512 --p 8 --pass-seconds 40 --latency 100us')
    expect(stdout).toContain('1.6B, P = 8, 1.83B parameters: 512 passes of 1 x 2048 tokens a step')
    expect(stdout).toMatch(/^ +8 .* compute /m)
    expect(stdout).toMatch(/^a pass +40\.00 s +given$/m)
    expect(stdout).toMatch(/^its spread +5 % +assumed$/m)
    expect(stdout).toMatch(/^latency, one way +100\.0 us +given$/m)
    expect(stdout).toMatch(/^messages .* fitted to 2 workers/m)
  })

  test('one worker takes its passes and the update; bandwidth binds where it is low', async () => {
    const line = 'plan --workers 1,64 --micro-batches 64 --pass-seconds 2s --bandwidth 100Mbit --json'
    const { results, updateSeconds, inputs } = JSON.parse((await run(line)).stdout)
    expect(results[0].seconds).toBeCloseTo(128 + updateSeconds, 9)
    expect(results[0].speedup).toBe(1)
    expect(results[1].binds).toBe('bandwidth')
    // 63 of 64 shares out and as many in, for gradients and parameters; half of the first may be hidden.
    const bytes = results[1].traffic.gradients.bytes + results[1].traffic.parameters.bytes
    expect(results[1].seconds).toBeGreaterThan(bytes / 12.5e6 / 2)
    expect(results[1].memory.moments).toBeLessThan(results[0].memory.moments / 50)
    expect(inputs.find(({ name }: { name: string }) => name === 'a pass').source).toBe('given')
  })

  test('a checkpoint of its own, and the passes computed from a device', async () => {
    const model = fileURLToPath(new URL('../../../../fixtures/byte-p8', import.meta.url))
    const line = `plan --workers 2 --model ${model} --sequence-length 64 --device raspberry-pi-5`
    const { P, results, passSeconds, inputs } = JSON.parse((await run(`${line} --json`)).stdout)
    expect([P, results.length]).toEqual([8, 1])
    expect(passSeconds).toBeGreaterThan(0)
    expect(inputs[0].source).toContain('Raspberry Pi 5, 8 GB, not measured')
  })

  test('workers without a pass are said', async () => {
    const { stderr, stdout } = await run('plan --workers 8,64 --micro-batches 8 --pass-seconds 2')
    expect(stderr).toContain('64 workers, but 8 passes in a step: train refuses this; give --micro-batches 64')
    expect(stdout).toContain('too few passes')
  })

  test.each([
    ['--workers 8,64 --memory 4GiB', '--memory has no effect with --workers'],
    ['--workers 8 --figure 4', '--figure has no effect with --workers'],
    ['data.csv --workers 8', 'DATA has no effect with --workers, got data.csv'],
    ['--latency 1ms', '--latency has no effect without --workers'],
    ['--workers 0', 'expected whole numbers'],
    ['--workers 9999', '--workers: at most 4096, got 9999'],
    ['--workers 8 --bandwidth 10GB', 'such as 10Gbit'],
    ['--workers 8 --bandwidth 0', 'greater than 0'],
    ['--workers 8 --pass-spread 120%', 'expected a share from 0 to 1'],
    ['--workers 8 --pass-spread=-1', 'expected a share from 0 to 1'],
    ['--workers 8 --latency fast', 'such as 20ms'],
    ['--workers 8 --model 9B', "'9B' is not one of the published sizes"],
  ])('%s is refused', async (line, message) => {
    await expect(run(`plan ${line}`)).rejects.toThrow(message)
  })
})

test.each([
  ['0.5B', 1],
  ['1.6B', 8],
  ['4.4B', 4],
])('tensors of %s with P = %i have as many numbers as are counted', (name, P) => {
  const { shape } = publishedModel(name)
  const elements = parametersOfShape(shape, P).reduce((sum, { shape }) => sum + elementCount(shape), 0)
  expect(elements).toBe(countParameters(shape, P).total)
})
