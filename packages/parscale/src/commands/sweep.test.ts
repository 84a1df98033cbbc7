/** `parscale sweep` in this process: what runs compute, tables, rules, what is refused. Workers as processes: sweep/*.real.test.ts. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parsePoints } from '@parscale/core/internal/law'
import type { RunConfig } from '@parscale/core/internal/training'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { writeSweep } from '../sweep/testing/tiny-sweep.ts'
import { parscale } from '../testing/cli.ts'
import { runHere } from '../testing/run-here.ts'

let scratch: string
const at = (...names: string[]) => join(scratch, ...names)
const here = (...args: string[]) => runHere(args, { PARSCALE_CACHE: at('cache') })
const lines = (...names: string[]) =>
  readFileSync(at(...names), 'utf8')
    .trimEnd()
    .split('\n')

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'parscale-sweep-'))
})
afterAll(() => rmSync(scratch, { recursive: true }))

/** Plans a sweep and works it off in this process. */
async function done(out: string, file: string) {
  const begun = await here('sweep', file, '--out', at(out), '--workers', '0')
  expect(begun.code, begun.stderr).toBe(0)
  const worked = await here('sweep', 'work', at(out))
  expect(worked.code, worked.stderr).toBe(0)
}

/** A run of P = 1 alone has no prefixes. */
const ofOne = { streams: undefined }

interface Status {
  readonly state: string
  readonly counts: Record<string, number>
  readonly steps: { done: number; total: number }
  readonly runs: { name: string; state: string; step: number; loss: number | null; message: string | null; seed: number }[]
}
const status = async (out: string): Promise<Status> => JSON.parse((await here('sweep', 'status', at(out), '--json')).stdout)

describe('a sweep', () => {
  it('makes the runs that parscale train makes, bit for bit, and a table that parscale fit reads', async () => {
    const file = writeSweep(scratch, 'grid.yaml', {
      axes: { p: [1, 2, 4], tokens: [192, 384, '0.8K'], seed: [1, 2] },
      base: { steps: undefined },
    })
    await done('grid', file)
    expect(lines('grid', 'runs.csv')).toHaveLength(1 + 18)
    const [head, ...rows] = lines('grid', 'results.csv').map((line) => line.split(','))
    expect(head).toEqual(['N', 'P', 'D', 'loss', 'standardError', 'heldOutError', 'weight', 'tokens'])
    expect(rows.map(([, p, d, , , , weight]) => [p, d, weight])).toEqual(
      ['1', '2', '4'].flatMap((p) => ['192', '384', '832'].map((d) => [p, d, '2'])),
    )

    const direct = await here(
      ...['train', 'pretrain', '--data', at('text.txt'), '--separator', '\n\n', '--held-out', '0.2', '--train-tokens', '384'],
      ...['--learning-rate', '0.01', '--hidden-size', '16', '--intermediate-size', '24', '--layers', '2', '--heads', '2'],
      ...['--kv-heads', '1', '--head-dim', '8', '--vocab-size', '300', '--batch-size', '2', '--sequence-length', '32'],
      ...['--prefix-tokens', '4', '--set', 'sample.tokens=0', '--evaluate-every', '0', '--set', 'evaluation.diagnoseTokens=0'],
      ...['--checkpoint-every', '2', '--p', '2', '--seed', '2', '--threads', '1', '--out', at('direct')],
    )
    expect(direct.code, direct.stderr).toBe(0)
    const [name] = readdirSync(at('grid', 'runs')).filter((each) => /p-2-tokens-384-seed-2/.test(each))
    for (const path of ['model/model.safetensors', 'config.json', 'evaluation.json'])
      expect(readFileSync(at('grid', 'runs', name!, path)), path).toEqual(readFileSync(at('direct', path)))

    const points = parsePoints(readFileSync(at('grid', 'results.csv'), 'utf8'), 'results.csv')
    expect(points).toEqual(
      rows.map(([N, P, D, loss, , , weight]) => ({
        ...{ N: Number(N), P: Number(P), D: Number(D), loss: Number(loss), weight: Number(weight) },
      })),
    )
    const runs = lines('grid', 'runs.csv').map((line) => line.split(','))
    const losses = runs.filter(([, , p, d]) => p === '2' && d === '384').map(([, , , , loss]) => Number(loss))
    expect(points.find(({ P, D }) => P === 2 && D === 384)!.loss).toBe((losses[0]! + losses[1]!) / 2)
    expect(JSON.parse((await here('inspect', at('direct', 'model'), '--json')).stdout).parameters.nonEmbedding).toBe(
      Number(rows.find(([, p]) => p === '2')![0]),
    )
  })

  it('stops runs early, and those that go on end as if they had never been held', async () => {
    const rates = [0.02, 0.01, 0.005, 1e-5]
    const axes = { 'learning-rate': rates }
    const base = { 'learning-rate': undefined, steps: 8 }
    await done('whole', writeSweep(scratch, 'whole.yaml', { axes, base }))
    await done('halved', writeSweep(scratch, 'halved.yaml', { axes, base, stop: { rule: 'halving', eta: 2, least: 2 } }))
    const { counts, runs, state, steps } = await status('halved')
    expect(state).toBe('done')
    expect(counts).toMatchObject({ finished: 1, stopped: 3 })
    expect(steps).toEqual({ done: 8 + 4 + 2 + 2, total: 8 + 4 + 2 + 2 })
    const winner = runs.find((run) => run.state === 'finished')!
    expect((await status('whole')).runs.find(({ name }) => name === winner.name)!.loss).toBe(winner.loss)
    const model = (out: string) => readFileSync(at(out, 'runs', winner.name, 'model', 'model.safetensors'))
    expect(model('halved')).toEqual(model('whole'))
    // A row for each N, P and D: the best rate's.
    const [head, ...rows] = lines('halved', 'results.csv')
    expect(head).toMatch(/,learning-rate$/)
    expect(rows).toHaveLength(1)
    expect(lines('whole', 'results.csv')).toHaveLength(2)
    // A run that was stopped is a folder to go on with.
    const stopped = runs.find((run) => run.state === 'stopped')!
    const resumed = await here('train', '--resume', at('halved', 'runs', stopped.name), '--threads', '1', '--json')
    expect(resumed.code, resumed.stderr).toBe(0)
    expect(JSON.parse(resumed.stdout).heldOutLoss).toBe(
      (await status('whole')).runs.find(({ name }) => name === stopped.name)!.loss,
    )
  })

  it('adds seeds while the interval is too wide', async () => {
    await done('seeds', writeSweep(scratch, 'seeds.yaml', { base: ofOne, axes: { p: [1] }, seeds: { until: 1e-9, most: 3 } }))
    expect((await status('seeds')).runs.map(({ seed, state }) => [seed, state])).toEqual([
      [0, 'finished'],
      [1, 'finished'],
      [2, 'finished'],
    ])
    expect(lines('seeds', 'results.csv')[1]).toMatch(/,3$/)
  })

  it('goes past a run that fails, and says so at the end', async () => {
    const file = writeSweep(scratch, 'failing.yaml', {
      axes: { 'learning-rate': [0.01, 1e30] },
      base: { 'learning-rate': undefined, clip: 1e30, 'warmup-steps': 0 },
    })
    await done('failing', file)
    const { counts, runs } = await status('failing')
    expect(counts).toMatchObject({ finished: 1, failed: 1 })
    expect(runs[1]!.message).toMatch(/NaN|infinite/)
    expect(lines('failing', 'runs.csv')[2]).toMatch(/,failed,/)
    const again = await here('sweep', file, '--out', at('failing'))
    expect(again.code).toBe(1)
    expect(again.stderr).toMatch(/1 of 2 runs failed: 2-learning-rate-1e-30-seed-0 \(/)
    expect((await here('sweep', 'logs', at('failing'), runs[1]!.name)).stdout).toContain('failed: ')
    expect((await here('sweep', 'logs', at('failing'))).stdout).toBe(`${runs.map(({ name }) => `${name}\n`).join('')}`)
  })

  it('pauses: no worker takes up anything until the sweep is gone on with', async () => {
    const file = writeSweep(scratch, 'paused.yaml', { axes: { seed: [1, 2] } })
    await here('sweep', file, '--out', at('paused'), '--workers', '0')
    expect((await here('sweep', 'cancel', at('paused'))).stderr).toMatch(/^paused: /)
    expect((await here('sweep', 'work', at('paused'))).stderr).toContain('the sweep is paused')
    expect((await status('paused')).state).toBe('paused')
    await done('paused', file)
    expect((await status('paused')).state).toBe('done')
    expect((await here('sweep', 'cancel', at('paused'))).stderr).toMatch(/the sweep is done/)
  })

  it('--dry-run shows the runs and makes nothing', async () => {
    const file = writeSweep(scratch, 'dry.yaml', {
      axes: { p: [1, 2], seed: [3, 4] },
      stop: { rule: 'asha', eta: 2, least: 1 },
    })
    const { stdout, code } = await here('sweep', file, '--dry-run')
    expect(code).toBe(0)
    expect(stdout).toBe(
      ['NAME   p  STEPS  RUNGS', '1-p-1  1      6  1 2 4', '2-p-2  2      6  1 2 4', '4 runs: 2 x 2 of seed 3, 4', ''].join('\n'),
    )
    const { cells } = JSON.parse((await here('sweep', file, '--dry-run', '--json')).stdout)
    expect(cells[1]).toMatchObject({ name: '2-p-2', config: { stages: [{ p: 2 }] } })
  })

  it('may give runs of P = 1, and of other streams, what others need', async () => {
    const file = writeSweep(scratch, 'controls.yaml', {
      base: {
        ...ofOne,
        'streams.prefixTokens': 4,
        'own-window': 4,
        merge: 'probabilities',
        balance: 0.1,
        'prefix-gate': true,
        'evaluation.diagnoseTokens': 8,
      },
      axes: { p: [1, 2], streams: ['prefix', 'lora'], 'stream-rank': [2] },
    })
    const { stdout, stderr, code } = await here('sweep', file, '--dry-run', '--json')
    expect(code, stderr).toBe(0)
    const configs = JSON.parse(stdout).cells.map(({ config }: { config: RunConfig }) => config)
    expect(
      configs.map(({ stages, streams, aids }: RunConfig) => [stages[0]!.p, ...streams.input, streams.gate, aids.balance]),
    ).toEqual([
      [1, 'prefix', true, 0],
      [1, 'lora', true, 0],
      [2, 'prefix', true, 0.1],
      [2, 'lora', false, 0.1],
    ])
  })
})

describe('is refused before anything is made:', () => {
  const cases: readonly (readonly [what: string, sweep: Readonly<Record<string, unknown>>, say: RegExp])[] = [
    ['a wrong axis', { axes: { pp: [1, 2] } }, /axes\.pp: neither a flag .*did you mean p/],
    [
      'an axis of a wrong key',
      { axes: { streams: [{ prefixToken: 4 }] } },
      /axes\.streams: prefixToken: neither .*did you mean prefix-tokens/,
    ],
    ['a value of a wrong kind', { axes: { p: [1, 'two'] } }, /axes\.p = "two": it must be a whole number/],
    [
      'a value that goes with no other',
      { axes: { heads: [2, 3] }, base: { heads: undefined, 'kv-heads': 2 } },
      /with heads = 3: --heads/,
    ],
    ['an axis without values', { axes: { p: [] } }, /axes\.p: has no values/],
    ['an axis that is no list', { axes: { p: 2 } }, /axes\.p: expected a list of values/],
    ['a value twice', { axes: { p: [1, 2, 1] } }, /axes\.p: 1 is there twice/],
    ['an axis of what is in base', { axes: { steps: [1, 2] } }, /axes\.steps: steps is in base as well/],
    ['two axes of one key', { axes: { a: [{ p: 1 }], p: [2] } }, /axes\.p: sets p, which axes\.a sets as well/],
    ['a seed that is none', { axes: { seed: [1, -1] } }, /axes\.seed: expected a list of whole numbers/],
    ['an unknown key', { axis: { p: [1] } }, /axis: there is no such key; did you mean axes\?/],
    ['an unknown recipe', { recipe: 'pretraining' }, /recipe: expected one of pretrain,/],
    ['an unknown key of base', { base: { hiddensize: 8 } }, /base\.hiddensize: neither .*did you mean hidden-size/],
    ['data that are not there', { base: { data: ['nowhere.txt'] } }, /data: .*nowhere\.txt/],
    ['no data', { base: { data: undefined } }, /there is nothing to train on/],
    ['a rule that there is not', { stop: { rule: 'median', least: 1 } }, /stop\.rule: expected asha or halving/],
    ['a rung after the end', { stop: { least: 6 } }, /stop\.least: the first rung, at step 6, is not before the end, at step 6/],
    ['a rule without its rung', { stop: { eta: 2 } }, /stop\.least: expected the steps of the first rung/],
    [
      'a competition of unequal runs',
      { axes: { steps: [4, 8] }, base: { steps: undefined }, stop: { least: 2 } },
      /runs of 4 and of 8 steps would compete; name the axis .*\(one of steps\)/,
    ],
    [
      'a competition within no axis',
      { axes: { p: [1] }, stop: { least: 2, within: ['size'] } },
      /"size" is no axis; there are p/,
    ],
    ['a window of no run', { axes: { p: [1] }, base: { ...ofOne, 'own-window': 4 } }, /every run: --own-window .*but p is 1/],
    [
      'what does nothing on an axis',
      { axes: { 'stream-rank': [2, 4], p: [1, 2] } },
      /every run: --stream-rank \(streams.loraRank\): is the rank of lora, but .* is 1/,
    ],
    ['seeds without an end', { seeds: { until: 0.1 } }, /seeds\.most: expected a whole number of at least 2/],
    ['an interval of nothing', { seeds: { until: 0, most: 3 } }, /seeds\.until: expected the largest standard error/],
    ['an option of sbatch that is ours', { slurm: { array: '1-4' } }, /slurm\.array: is set by parscale sweep/],
    ['more runs than anybody trains', { axes: { seed: Array.from({ length: 10_001 }, (_, i) => i) } }, /make 10001 runs/],
  ]
  it.each(cases)('%s', async (_, sweep, say) => {
    const file = writeSweep(scratch, 'refused.yaml', sweep)
    const { code, stderr } = await here('sweep', file, '--out', at('refused'))
    expect(stderr).toMatch(say)
    expect(stderr).toContain('refused.yaml')
    expect(code).toBe(2)
    expect(existsSync(at('refused'))).toBe(false)
  })

  it('what is no YAML, no file, no map', async () => {
    writeFileSync(at('broken.yaml'), 'recipe: [pretrain\nbase: }')
    writeFileSync(at('list.yaml'), '- 1\n')
    const refused = async (name: string) => (await here('sweep', at(name), '--out', at('refused'))).stderr
    expect(await refused('broken.yaml')).toMatch(/broken\.yaml: is not YAML: .* at line \d/)
    expect(await refused('list.yaml')).toMatch(/list\.yaml: expected a map with the keys recipe, base and axes/)
    expect(await refused('none.yaml')).toMatch(/none\.yaml: .*it is the file that describes the sweep/)
    mkdirSync(at('folder'))
    expect(await refused('folder')).toMatch(/is a folder; give the YAML file, or a command/)
  })

  it('no --out, a folder with something else, another sweep, and a sweep that somebody runs', async () => {
    const file = writeSweep(scratch, 'one.yaml', { base: ofOne, axes: { p: [1] } })
    expect((await here('sweep', file)).stderr).toMatch(/where to\? Name a folder .*--out/)
    expect((await here('sweep', file, '--out', 's3://bucket/x')).stderr).toMatch(
      /--out s3:\/\/bucket\/x: workers meet in a folder/,
    )
    mkdirSync(at('taken'))
    writeFileSync(at('taken', 'notes.txt'), '')
    expect((await here('sweep', file, '--out', at('taken'))).stderr).toMatch(/taken is not empty \(notes\.txt\)/)
    expect(readdirSync(at('taken'))).toEqual(['notes.txt'])
    await here('sweep', file, '--out', at('one'), '--workers', '0')
    const other = writeSweep(scratch, 'other.yaml', { axes: { p: [2] } })
    const refused = await here('sweep', other, '--out', at('one'))
    expect(refused.code).toBe(2)
    expect(refused.stderr).toMatch(/one has another sweep: cells\.0\.axes\.p is "1" there and "2" here; choose another folder/)
    expect((await here('sweep', file, '--out', at('one'), '--threads', '2')).stderr).toMatch(
      /another sweep: threads is 1 there and 2 here/,
    )
    expect((await here('sweep', 'status', at('taken'))).stderr).toMatch(/is not the folder of a sweep/)
  })

  it('a backend that is not there', async () => {
    const file = writeSweep(scratch, 'backend.yaml', {})
    const env = { PARSCALE_CACHE: at('cache'), PATH: scratch }
    const slurm = await runHere(['sweep', file, '--out', at('nowhere'), '--on', 'slurm'], env)
    expect(slurm.stderr).toMatch(/--on slurm: there is no sbatch here; run this where .*or use --on local/)
    expect(slurm.code).toBe(2)
    const redis = await here('sweep', file, '--out', at('nowhere'), '--on', 'bullmq', '--redis', 'redis://:secret@127.0.0.1:1')
    expect(redis.stderr).toMatch(/redis:\/\/:\*\*\*@127\.0\.0\.1:1: Redis cannot be reached \(ECONNREFUSED\); start redis-server/)
    expect(redis.code).toBe(5)
    expect((await here('sweep', file, '--out', at('nowhere'), '--detach')).stderr).toMatch(
      /--detach has an effect with --on slurm only/,
    )
    const none = await here('sweep', file, '--out', at('nowhere'), '--on', 'slurm', '--workers', '0')
    expect(none.stderr).toMatch(/--workers 0 with --on slurm would submit no task/)
    expect(existsSync(at('nowhere'))).toBe(false)
  })

  it('a clock that is not that of the disk', async () => {
    const file = writeSweep(scratch, 'clock.yaml', {})
    await here('sweep', file, '--out', at('clock'), '--workers', '0')
    const skewed = 'data:text/javascript,const%20now=Date.now;Date.now=()=>now()-3600e3'
    const { code, stderr } = await parscale(['sweep', 'work', at('clock')], { env: { NODE_OPTIONS: `--import ${skewed}` } })
    expect(stderr).toMatch(/clock of its disk is 3600 s ahead of that of .*; set both by NTP/)
    expect(code).toBe(2)
  })
})
