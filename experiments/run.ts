/**
 * Runs the experiments of docs/experiments.md and compares their runs:
 *
 *     npm run experiments -- scratch               runs what is not there yet, resumes what was begun, compares
 *     npm run experiments -- all --compare         compares what is there
 *     npm run experiments -- all --draw            draws docs/experiments/NAME.svg again from NAME.json
 *
 * Runs lie in .cache/experiments. Results go to docs/experiments/NAME.json and NAME.svg, tables to stdout.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { renderSvg } from '@parscale/core/internal/law'
import { type Difference, type Losses, pairedDifference } from './compare.ts'
import { type CurveRun, curveOf, curvesChart, type Metric } from './curves.ts'
import { type Experiment, experiments, type Run } from './experiments.ts'
import { otherTextLosses, plainModel, plainVariant } from './other-text.ts'
import { report as reportStudy } from './streams/report.ts'
import { runStudy } from './streams/study.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const command = join(root, 'packages/parscale/bin/parscale.js')

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    compare: { type: 'boolean' },
    draw: { type: 'boolean' },
    threads: { type: 'string', default: '2' },
    jobs: { type: 'string', default: '2' },
    size: { type: 'string' },
    variant: { type: 'string' },
  },
})
if (positionals.includes('streams')) {
  if (!values.compare) await runStudy(root, { jobs: Number(values.jobs), size: values.size, variant: values.variant })
  console.log(reportStudy(root))
  process.exit(0)
}
const names = positionals.includes('all') ? Object.keys(experiments) : positionals
if (names.length === 0 || names.some((name) => !experiments[name])) {
  console.error(
    `usage: npm run experiments -- NAME... [--compare | --draw] [--threads N]; there are ${Object.keys(experiments).join(', ')} and all`,
  )
  process.exit(2)
}
const folderOf = (run: Run): string => join('.cache/experiments', run.name)
const isFinished = (folder: string): boolean => existsSync(join(root, folder, 'evaluation.json'))

function train(run: Run): void {
  const folder = folderOf(run)
  if (isFinished(folder)) return
  const begun = existsSync(join(root, folder, 'config.json'))
  const args = ['train', ...(begun ? ['--resume', folder] : [...run.args, '--out', folder]), '--threads', values.threads]
  console.error(`${run.name}: parscale ${args.join(' ')}`)
  const { status, signal } = spawnSync(process.execPath, [command, ...args], { cwd: root, stdio: ['ignore', 'ignore', 2] })
  if (status !== 0) process.exit(status ?? (signal ? 130 : 1))
}

const readMetrics = (folder: string): Metric[] =>
  readFileSync(join(root, folder, 'metrics.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Metric)

async function report(name: string, experiment: Experiment): Promise<void> {
  const runs = experiment.runs.filter((run) => isFinished(folderOf(run)))
  if (runs.length < experiment.runs.length)
    console.error(`${name}: ${experiment.runs.length - runs.length} runs are not finished`)
  if (runs.length === 0) return
  const losses = new Map(
    runs.map((run) => [run, JSON.parse(readFileSync(join(root, folderOf(run), 'evaluation.json'), 'utf8')) as Losses]),
  )
  const metrics = new Map(runs.map((run) => [run, readMetrics(folderOf(run))]))
  const rows = runs.map((run) => {
    const steps = metrics.get(run)!.filter(({ kind }) => kind === 'train')
    const seconds = steps.reduce((sum, step) => sum + (step.seconds ?? 0), 0)
    return {
      run: run.name,
      variant: run.variant,
      seed: run.seed,
      steps: steps.length,
      tokens: steps.at(-1)!.tokens,
      heldOutLoss: losses.get(run)!.loss,
      seconds: Math.round(seconds),
      curve: curveOf(metrics.get(run)!),
    }
  })
  const plain = await plainModel(root, name, experiment)
  const of = (variant: string): Losses[] => [
    ...runs.filter((run) => run.variant === variant).map((run) => losses.get(run)!),
    ...(plain && variant === plainVariant ? [plain] : []),
  ]
  const pairs = experiment.pairs
    .filter(([is, than]) => of(is).length > 0 && of(than).length > 0)
    .map(([is, than]) => ({ is, than, ...pairedDifference(of(is), of(than)), perSeed: bySeed(of(is), of(than)) }))
  const other = await otherTextLosses(root, name, experiment, runs)
  const machine = `${availableParallelism()} cores of ${cpus()[0]?.model ?? 'an unknown processor'}`
  const result = {
    title: experiment.title,
    command: `npm run experiments -- ${name}`,
    machine,
    runs: rows,
    ...(plain && { plain: plain.loss }),
    pairs,
    ...(other && { otherText: other }),
  }
  mkdirSync(join(root, 'docs/experiments'), { recursive: true })
  writeFileSync(join(root, `docs/experiments/${name}.json`), `${JSON.stringify(result, null, 2)}\n`)
  draw(name)
  console.log(`## ${experiment.title}\n\n${table(rows)}\n\n${pairTable(pairs)}\n${other ? `\n${otherTable(other)}\n` : ''}`)
}

const bySeed = (is: readonly Losses[], than: readonly Losses[]): number[] =>
  is.slice(0, than.length).map((losses, i) => (than[i]?.loss ?? than[0]!.loss) - losses.loss)

const table = (
  rows: readonly { variant: string; seed: number; steps: number; tokens: number; heldOutLoss: number; seconds: number }[],
) =>
  [
    '| | seed | steps | tokens | held-out loss | training, s |',
    '|---|---|---|---|---|---|',
    ...rows.map(
      (row) => `| ${row.variant} | ${row.seed} | ${row.steps} | ${row.tokens} | ${row.heldOutLoss.toFixed(4)} | ${row.seconds} |`,
    ),
  ].join('\n')

const pairTable = (pairs: readonly (Difference & { is: string; than: string; perSeed: number[] })[]) =>
  [
    '| better by, in nats a token | | 95 % interval | each seed |',
    '|---|---|---|---|',
    ...pairs.map(
      ({ is, than, mean, low, high, perSeed }) =>
        `| ${is} than ${than} | ${mean.toFixed(4)} | ${low.toFixed(4)} to ${high.toFixed(4)} | ${perSeed.map((each) => each.toFixed(4)).join(', ')} |`,
    ),
  ].join('\n')

const otherTable = (other: readonly ({ variant: string; loss: number } & Difference)[]) =>
  [
    '| unrelated text | loss | worse than the model as it is by | 95 % interval |',
    '|---|---|---|---|',
    ...other.map(
      ({ variant, loss, mean, low, high }) =>
        `| ${variant} | ${loss.toFixed(4)} | ${mean.toFixed(4)} | ${low.toFixed(4)} to ${high.toFixed(4)} |`,
    ),
  ].join('\n')

/** Draws what docs/experiments/NAME.json holds. */
function draw(name: string): void {
  const file = join(root, `docs/experiments/${name}`)
  const { title, runs } = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as { title: string; runs: CurveRun[] }
  writeFileSync(`${file}.svg`, renderSvg([curvesChart(title, runs)]))
}

for (const name of names) {
  if (values.draw) {
    draw(name)
    continue
  }
  const experiment = experiments[name]!
  if (!values.compare) for (const run of experiment.runs) train(run)
  await report(name, experiment)
}
