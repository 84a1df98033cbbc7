/** `parscale export`: writes a trained model as a Hugging Face folder with a card. */
import { basename } from 'node:path'
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { exportRuns } from '../export/export-runs.ts'
import { type CheckpointChoice, type OpenRun, openRun } from '../export/open-run.ts'
import { readFurtherResults } from '../export/results-file.ts'
import { withTarget } from '../storage/store-folder.ts'
import type { Io } from '../terminal/io.ts'

const examples = `
Examples:
  parscale export runs/small --out model
  parscale export runs/small --out model-bf16 --dtype bf16 --checkpoint best
  parscale export runs/recycled-p4 --out smollm2-p4             streams alone; use them with --stream-set smollm2-p4
  parscale export runs/recycled-p4 --out smollm2-whole --merge  streams and backbone
  parscale export runs/p2 runs/p4 runs/p8 --out family --merge  one backbone, P chosen when it is run

The run may still be going on. The target appears whole or not at all.`

const dtypes = { keep: 'keep', f32: 'F32', f16: 'F16', bf16: 'BF16' } as const

export function register(command: Command, io: Io): void {
  command
    .argument('<run...>', 'folder of a run, or s3://BUCKET/KEY; several whose backbone is the same, with --merge')
    .requiredOption('--out <folder>', 'folder to make, or s3://BUCKET/KEY; must not exist or be empty')
    .addOption(
      new Option('--checkpoint <which>', 'last, best (smallest held-out loss) or a step')
        .argParser(checkpointChoice)
        .default('last' as CheckpointChoice),
    )
    .addOption(
      new Option('--dtype <type>', 'element type of all weights; keep: what was trained in f32, the rest as stored')
        .choices(Object.keys(dtypes) as (keyof typeof dtypes)[])
        .default('keep' as const),
    )
    .option('--merge', 'put the frozen backbone into the folder, too')
    .option('--name <name>', "the model's name on its card (default: the folder's)")
    .option('--licence <id>', 'licence on the card, such as apache-2.0')
    .option('--hardware <words>', 'what it was trained on, for the card')
    .option('--data-note <words>', 'where the data come from, for the card')
    .option(
      '--results <file>',
      'further results for the card: the --out of parscale eval, or a JSON list of { p, loss, tokens, interval?, data? }',
    )
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (paths, { json, checkpoint, results, dtype, ...flags }) => {
      const runs: OpenRun[] = []
      try {
        for (const path of paths) runs.push(await openRun(path, checkpoint, io))
        const further = results === undefined ? {} : await readFurtherResults(results)
        await withTarget(io, flags.out, '--out', (out) =>
          exportRuns(runs, { name: basename(flags.out), ...flags, out, dtype: dtypes[dtype], ...further }, io),
        )
        const steps = runs.map(({ checkpoint }) => checkpoint.step)
        io.stdout(json ? `${JSON.stringify({ runs: paths, out: flags.out, steps }, null, 2)}\n` : `${flags.out}\n`)
      } finally {
        await Promise.all(runs.map((run) => run.close()))
      }
    })
}

function checkpointChoice(text: string): CheckpointChoice {
  if (text === 'last' || text === 'best') return text
  if (/^\d+$/.test(text)) return Number(text)
  throw new InvalidArgumentError('it must be last, best, or the number of a step.')
}
