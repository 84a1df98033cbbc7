/** `parscale train`: from scratch, in two stages, recycling a model, or on conversations. */
import { type Command, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core/internal'
import { recipeNames } from '@parscale/core/internal/training'
import { outlineModel } from '../load/outline.ts'
import { trainingRuntime } from '../load/training-runtime.ts'
import { isStorageName, nameOf, parseStorageName } from '../storage/address.ts'
import { fetchingOf } from '../storage/fetching.ts'
import type { StoredRun } from '../storage/stored-run.ts'
import type { Io } from '../terminal/io.ts'
import { resultText, resumeRun, startRun, type TrainResult } from '../train/train-run.ts'
import { type Team, withTeam } from '../train/workers/join-workers.ts'
import { deviceOption, threadsOption } from './options.ts'
import { configOf, configOptions, type OnGiven, withRecipe, withValues } from './train-options.ts'

const examples = `
Recipes:
  pretrain    a fresh model with P streams
  two-stage   a fresh model with one stream, then P streams while the rate falls
  recycle     streams for a model that is there, its weights frozen (--train all: not frozen)
  sft         conversations; the loss is on the assistant's turns

Examples:
  parscale train pretrain --data 'books/*.txt' --p 2 --steps 1000 --learning-rate 1e-3 --out runs/p2
  parscale train recycle --model ./model --data notes.jsonl --p 4 --out runs/recycled
  parscale train recycle --model ./model --data notes.jsonl --dry-run      (shows the whole configuration)
  parscale train --resume runs/p2
  mpirun -n 4 parscale train --resume runs/p2      (4 workers share the passes of --micro-batches)
  parscale train pretrain --data s3://bucket/books/ --steps 1000 --out s3://bucket/runs/first

Ctrl-C and SIGTERM write a checkpoint and end the command with exit code 130; SIGUSR2 writes one and goes on.
docs/training.md explains recipes, options and the run's folder.`

type Given = { getOptionValueSource(key: string): string | undefined }

export function register(command: Command, io: Io): void {
  const withRun = command
    .argument('[recipe]', recipeNames.join(' | '))
    .option('--out <folder>', 'folder of the run, or s3://BUCKET/KEY; must not exist or be empty')
    .addOption(new Option('--resume <folder>', 'go on with this run').conflicts(['out', 'dryRun']))
  withValues(withRecipe(withRun))
    .option('--dry-run', 'show data and configuration, and stop before the first step')
    .addOption(deviceOption)
    .addOption(threadsOption)
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action((recipe, flags) =>
      withTeam(io, async (io, team) => {
        const print = (value: unknown) => io.stdout(`${JSON.stringify(value, null, 2)}\n`)
        const show = (result: TrainResult | undefined) => result && (flags.json ? print(result) : io.stdout(resultText(result)))
        if (flags.resume !== undefined) {
          refuseConfiguration(command, recipe)
          const run = await placeOf(io, flags.resume, team, 'resume')
          const runtime = await trainingRuntime(flags, io)
          return show(await resumeRun(io, runtime, run.path, team, run.stored).finally(() => run.stored?.close()))
        }
        if (recipe === undefined)
          throw usageError(`train: name a recipe (${recipeNames.join(', ')}), or a run to go on with: --resume RUN`)
        const name = recipeNames.find((each) => each === recipe)
        if (name === undefined)
          throw usageError(`train ${recipe}: there is no such recipe; there are ${recipeNames.join(', ')}`, { found: recipe })
        const base =
          flags.model === undefined ? undefined : (await outlineModel(flags.model, fetchingOf(io))).backbone.config.parscale
        const config = configOf(name, flags, base, refuseGivenHere(command))
        if (flags.out === undefined && !flags.dryRun)
          throw usageError('train: where to? Name a folder for the run with --out', { flag: 'out' })
        const { out = '', dryRun = false } = flags
        const runtime = await trainingRuntime(flags, io)
        const run = dryRun ? { path: out } : await placeOf(io, out, team, 'begin')
        const result = await startRun(io, runtime, config, run.path, dryRun, team, run.stored).finally(() => run.stored?.close())
        if (flags.dryRun) print(config)
        else show(result)
      }),
    )
}

/** A folder here is where it is; one of storage is worked on in the cache, by the first worker. */
async function placeOf(
  io: Io,
  name: string,
  { workers }: Team,
  what: 'begin' | 'resume',
): Promise<{ readonly path: string; readonly stored?: StoredRun }> {
  if (!isStorageName(name)) return { path: name }
  if (workers.rank > 0) return { path: nameOf(parseStorageName(name, what === 'begin' ? '--out' : '--resume')) }
  const stored = await (await import('../storage/stored-run.ts')).StoredRun[what](io, name)
  return { path: stored.folder, stored }
}

/** What the user's configuration file says is meant for other runs as well. */
const refuseGivenHere =
  (command: Given): OnGiven =>
  ({ flag }, unused) => {
    const option = configOptions.find(({ long }) => long === flag.split(' ')[0])
    if (unused && option && command.getOptionValueSource(option.attributeName()) === 'cli') throw unused
  }

/** A run goes on as it was begun. */
function refuseConfiguration(command: Given, recipe: string | undefined): void {
  if (recipe !== undefined) throw usageError(`train --resume: a run knows its recipe; leave out "${recipe}"`)
  const given = configOptions.filter((option) => command.getOptionValueSource(option.attributeName()) === 'cli')
  if (given.length > 0)
    throw usageError(`train --resume: a run goes on as it was configured; leave out ${given.map(({ long }) => long).join(', ')}`)
}
