/**
 * Makes the model that ships with parscale, from nothing but public text:
 *
 *     npm run make-model -- --out packages/parscale/models/small
 *
 * One backbone is trained with P = 1 and rounded to bfloat16; on it, frozen, stream sets for P = 2, 4 and 8 are trained. What is
 * there already under .cache/make-model is not trained again, and what was interrupted goes on.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join, resolve } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { fetchText } from '../scripts/fetch-text.mjs'
import { plainLosses } from './held-out.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const command = join(root, 'packages/parscale/bin/parscale.js')
const work = '.cache/make-model'
const { values } = parseArgs({
  options: { out: { type: 'string' }, threads: { type: 'string', default: String(availableParallelism()) } },
})
if (values.out === undefined) {
  console.error('usage: npm run make-model -- --out FOLDER [--threads N]')
  process.exit(2)
}

const data = ['--data', '.cache/text/**/*.txt']
const batch = ['--batch-size', '4', '--sequence-length', '512', '--prompt', 'My fellow citizens, ', '--log-every', '50']
const backbone = [
  ...['pretrain', ...data, '--p', '1', '--steps', '2500', '--vocab-size', '2048', '--hidden-size', '192', '--layers', '6'],
  ...['--heads', '3', '--kv-heads', '1', '--head-dim', '64', '--intermediate-size', '576', ...batch],
  ...['--set', 'shape.maxPositionEmbeddings=512', '--learning-rate', '2e-3', '--final-learning-rate', '1e-4'],
  ...['--warmup-steps', '100', '--evaluate-every', '250', '--checkpoint-every', '250'],
]
const rounded = `${work}/backbone-bf16`
const streams = (p: number) => [
  ...['recycle', '--model', rounded, ...data, '--p', String(p), '--steps', '100', '--prefix-tokens', '16', ...batch],
  ...['--learning-rate', '5e-2', '--evaluate-every', '50', '--evaluate-sequences', '16', '--checkpoint-every', '25'],
]

fetchText('text')
train('backbone', backbone)
if (!existsSync(join(root, rounded))) parscale('export', `${work}/backbone`, '--out', rounded, '--dtype', 'bf16')
const sizes = [2, 4, 8]
for (const p of sizes) train(`p${p}`, streams(p))
const { loss, tokens } = await plainLosses(join(root, work, 'p2'))
writeFileSync(join(root, work, 'results.json'), JSON.stringify([{ p: 1, loss, tokens }]))
rmSync(resolve(root, values.out), { recursive: true, force: true })
parscale(
  ...[
    'export',
    ...sizes.map((p) => `${work}/p${p}`),
    '--merge',
    '--dtype',
    'bf16',
    '--out',
    values.out,
    '--name',
    'parscale-small',
  ],
  ...['--licence', 'apache-2.0', '--results', `${work}/results.json`],
  ...['--hardware', `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`],
  ...[
    '--data-note',
    'State of the Union addresses 1790 to 2021 and Moby-Dick, public domain, by scripts/fetch-text.mjs. The backbone was trained on them from scratch ' +
      '(pretrain, P = 1, 2,500 steps of 2,048 tokens, rate 2e-3); the script make-model of the parscale repository makes all of it',
  ],
)

function train(name: string, args: readonly string[]): void {
  const run = `${work}/${name}`
  if (existsSync(join(root, run, 'evaluation.json'))) return
  const begun = existsSync(join(root, run, 'config.json'))
  parscale('train', ...(begun ? ['--resume', run] : [...args, '--out', run]), '--threads', values.threads)
}

function parscale(...args: string[]): void {
  console.error(`parscale ${args.join(' ')}`)
  const { status } = spawnSync(process.execPath, [command, ...args], { cwd: root, stdio: ['ignore', 'ignore', 2] })
  if (status !== 0) process.exit(status ?? 1)
}
