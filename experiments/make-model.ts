/**
 * Makes the model that ships with parscale, from nothing but public text:
 *
 *     npm run make-model -- --out packages/parscale/models/small
 *     npm run make-model -- --compare              the same and its controls; prints what streams are worth
 *     npm run make-model -- --trials               four streams pushed apart by --decorrelate; prints what that costs
 *
 * One backbone is trained with P = 1 and rounded to bfloat16; on it, frozen, stream sets for P = 2, 4 and 8 are trained. What is
 * there already under .cache/make-model is not trained again, and what was interrupted goes on. Runs of one thread each, as many
 * at a time as --threads says.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fetchText } from '../scripts/fetch-text.mjs'
import { type Losses, pairedDifference } from './compare.ts'
import { plainLosses } from './held-out.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const command = join(root, 'packages/parscale/bin/parscale.js')
const work = '.cache/make-model'
const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    compare: { type: 'boolean', default: false },
    trials: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(availableParallelism()) },
  },
})
if (values.out === undefined && !values.compare && !values.trials) {
  console.error('usage: npm run make-model -- --out FOLDER [--threads N], or --compare, or --trials')
  process.exit(2)
}

const data = ['--data', '.cache/text/**/*.txt', '--data', '.cache/books/**/*.txt', '--held-out', '0.1', '--packing', 'document']
const batch = ['--batch-size', '8', '--sequence-length', '256', '--evaluate-sequences', '64', '--prompt', 'My fellow citizens, ']
const backbone = [
  ...['pretrain', ...data, '--p', '1', '--steps', '6000', '--vocab-size', '1024', '--hidden-size', '64', '--layers', '3'],
  ...['--heads', '2', '--kv-heads', '1', '--head-dim', '32', '--intermediate-size', '192', ...batch],
  ...[
    '--set',
    'shape.maxPositionEmbeddings=512',
    '--learning-rate',
    '1e-2',
    '--evaluate-every',
    '500',
    '--checkpoint-every',
    '500',
  ],
]
const rounded = `${work}/backbone-bf16`
/** Of every stream, and of the one stream of the controls. */
const adapters = (rank: number, rate: string, seed: number, steps = 4000) => [
  ...[
    'recycle',
    '--model',
    rounded,
    ...data,
    ...batch,
    '--steps',
    String(steps),
    '--evaluate-every',
    '500',
    '--checkpoint-every',
    '500',
  ],
  ...['--streams', 'lora,bitfit,norms', '--stream-rank', String(rank), '--learning-rate', rate, '--seed', String(seed)],
]
/** Of each stream's low ranks. */
const rank = 16
const parts = (p: number, aggregatorRate: string, decorrelate: string) => [
  ...['--p', String(p), '--domain-streams', '0.5', '--balance', '0.1', '--aggregator-rate', aggregatorRate],
  ...['--decorrelate', decorrelate, '--set', 'evaluation.diagnoseTokens=16000'],
]
const streams = (p: number, seed = 0): Run => ({
  name: `p${p}${seed === 0 ? '' : `-seed${seed}`}`,
  label: `P = ${p}, seed ${seed}`,
  args: [...adapters(rank, '2.5e-3', seed), ...parts(p, '4', '0.02')],
})
const trial = (decorrelate: string): Run => ({
  name: `trial-decorrelate${decorrelate}`,
  label: decorrelate,
  args: [...adapters(8, '5e-3', 0, 1000), ...parts(4, '2', decorrelate)],
})
/** P = 1 with what each stream has, or with as many parameters as all of them. */
const control = (ofRank: number, rate: string, seed = 0): Run => ({
  name: `control-rank${ofRank}-${rate}-seed${seed}`,
  label: `P = 1 with ${ofRank === rank ? 'the same of one stream' : `rank ${ofRank}`}, rate ${rate}, seed ${seed}`,
  args: [...adapters(ofRank, rate, seed), '--p', '1', '--input-at-one'],
})

interface Run {
  readonly name: string
  readonly label: string
  readonly args: readonly string[]
}

const sizes = [8, 4, 2]
const sets = sizes.map((p) => streams(p))
const controls = [
  ...['2.5e-3', '1e-3', '5e-3'].map((rate) => control(rank, rate)),
  ...['2.5e-3', '1e-3', '5e-4'].map((rate) => control(8 * rank, rate)),
  ...[1, 2].map((seed) => control(rank, '2.5e-3', seed)),
]
const others = [streams(8, 1)]
const trials = ['0', '0.02', '0.05', '0.1', '0.5'].map(trial)

for (const kind of ['text', 'books'] as const) fetchText(kind)
await train({ name: 'backbone', label: 'the backbone', args: backbone })
if (!existsSync(join(root, rounded))) await parscale('export', `${work}/backbone`, '--out', rounded, '--dtype', 'bf16')
if (values.trials) await tried()
if (values.compare || values.out !== undefined) {
  await atOnce(Number(values.threads), [...sets, ...(values.compare ? [...controls, ...others] : [])], train)
  const plain = await plainLosses(join(root, work, 'p2'))
  if (values.compare) compare(plain)
  if (values.out !== undefined) await exported(values.out, plain)
}

function lossesOf({ name }: Run): Losses {
  return JSON.parse(readFileSync(join(root, work, name, 'evaluation.json'), 'utf8')) as Losses
}

async function tried(): Promise<void> {
  await atOnce(Number(values.threads), trials, train)
  const plainly = lossesOf(trials[0]!)
  console.log(
    '| decorrelate | nats a token | worse than without | rho | disagree | entropy / ln 4 | leads | without the one that matters most |',
  )
  console.log('|---|---|---|---|---|---|---|---|')
  for (const each of trials) {
    const losses = lossesOf(each)
    const { mean, low, high } = pairedDifference([plainly], [losses])
    const lines = readFileSync(join(root, work, each.name, 'metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
    const { rho, disagreement, weightEntropy, leadingShare, knockOutCost } = lines
      .map((line) => JSON.parse(line) as Record<string, number | string>)
      .findLast(({ kind }) => kind === 'streams')! as Record<string, number>
    const figures = [rho, disagreement, weightEntropy, leadingShare].map((figure) => figure!.toFixed(2))
    const worse = each === trials[0] ? '' : `${mean.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)})`
    console.log(`| ${each.label} | ${losses.loss.toFixed(4)} | ${worse} | ${figures.join(' | ')} | ${knockOutCost!.toFixed(3)} |`)
  }
}

function compare(plain: Losses): void {
  const best = lossesOf(streams(8))
  const row = (label: string, losses: Losses) => {
    const { mean, low, high } = pairedDifference([best], [losses])
    console.log(`| ${label} | ${losses.loss.toFixed(4)} | ${mean.toFixed(4)} (${low.toFixed(4)} to ${high.toFixed(4)}) |`)
  }
  console.log(`| ${plain.tokens} held-out tokens | nats a token | P = 8, seed 0 is better by |\n|---|---|---|`)
  row('the backbone alone', plain)
  for (const run of [...controls, ...sets.toReversed(), ...others]) row(run.label, lossesOf(run))
}

async function exported(out: string, plain: Losses): Promise<void> {
  writeFileSync(join(root, work, 'results.json'), JSON.stringify([{ p: 1, loss: plain.loss, tokens: plain.tokens }]))
  rmSync(resolve(root, out), { recursive: true, force: true })
  await parscale(
    ...['export', ...sets.toReversed().map(({ name }) => `${work}/${name}`), '--merge', '--dtype', 'bf16', '--out', out],
    ...['--name', 'parscale-small', '--licence', 'apache-2.0', '--results', `${work}/results.json`],
    ...['--hardware', `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`],
    ...[
      '--data-note',
      'State of the Union addresses 1790 to 2021, Moby-Dick and 17 books of Project Gutenberg, public domain, by scripts/fetch-text.mjs. The backbone was trained ' +
        'on them from scratch (pretrain, P = 1, 6,000 steps of 2,048 tokens, rate 1e-2); the script make-model of the parscale repository makes all of it',
    ],
  )
}

async function train({ name, args }: Run): Promise<void> {
  const run = `${work}/${name}`
  if (existsSync(join(root, run, 'evaluation.json'))) return
  const begun = existsSync(join(root, run, 'config.json'))
  await parscale('train', ...(begun ? ['--resume', run] : [...args, '--out', run]), '--threads', '1')
}

async function atOnce<T>(limit: number, items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item)
  }
  await Promise.all(Array.from({ length: limit }, worker))
}

async function parscale(...args: string[]): Promise<void> {
  console.error(`parscale ${args.join(' ')}`)
  const child = spawn(process.execPath, [command, ...args], { cwd: root, stdio: ['ignore', 'ignore', 2] })
  const status = await new Promise<number | null>((done) => void child.on('close', done))
  if (status !== 0) process.exit(status ?? 1)
}
