/** `parscale export`: writes what a run has trained as a model's folder, with a card. */
import { readFileSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { basename } from 'node:path'
import { type Command, InvalidArgumentError, Option } from '@commander-js/extra-typings'
import { usageError } from '@parscale/core'
import {
  backboneDigest,
  type ExportedStreams,
  exportModel,
  exportStreamSet,
  inheritedFiles,
  tokenizerFileBytes,
} from '@parscale/core/node'
import { modelCard } from '@parscale/core/training'
import { type CheckpointChoice, type OpenRun, openRun } from '../export/open-run.ts'
import { readResults } from '../export/results-file.ts'
import { type CardWords, runSummary } from '../export/run-summary.ts'
import type { Io } from '../io.ts'

const examples = `
Examples:
  parscale export runs/small --out model
  parscale export runs/small --out model-bf16 --dtype bf16 --checkpoint best
  parscale export runs/recycled-p4 --out smollm2-p4             streams alone; use them with --stream-set smollm2-p4
  parscale export runs/recycled-p4 --out smollm2-whole --merge  streams and backbone
  parscale export runs/p2 runs/p4 runs/p8 --out family --merge  one backbone, P chosen when it is run

The run may still be going on. The target appears whole or not at all.`

const dtypes = { keep: 'keep', f32: 'F32', f16: 'F16', bf16: 'BF16' } as const

interface Flags extends Omit<CardWords, 'name'> {
  readonly out: string
  readonly name?: string
  readonly results?: string
  readonly checkpoint: CheckpointChoice
  readonly dtype: keyof typeof dtypes
  readonly merge?: true
}

export function registerExport(program: Command, io: Io): void {
  program
    .command('export')
    .description('write what a run has trained as a Hugging Face folder, with a model card')
    .argument('<run...>', 'folder of a run; several whose backbone is the same, with --merge')
    .requiredOption('--out <folder>', 'folder to make; must not exist or be empty')
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
    .option('--results <file>', 'further results for the card, a JSON list of { p, loss, tokens, interval?, data? }')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', examples)
    .action(async (paths, { json, ...flags }) => {
      const runs: OpenRun[] = []
      try {
        for (const path of paths) runs.push(await openRun(path, flags.checkpoint, io))
        await exportRuns(runs, flags, io)
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

async function exportRuns(runs: readonly OpenRun[], flags: Flags, io: Io): Promise<void> {
  const [run, ...others] = runs as [OpenRun, ...OpenRun[]]
  if (others.length > 0) await requireOneBackbone(runs, flags.merge === true, io)
  const { base, tied } = run
  const streamsOnly = run.frozen && !flags.merge
  const summary = await runSummary(run, others, {
    name: basename(flags.out),
    ...flags,
    results: flags.results === undefined ? [] : await readResults(flags.results),
    streamsOnly,
    version: packageVersion(),
  })
  const card = new TextEncoder().encode(modelCard(summary))
  const progress = io.progress(flags.out, 'B')
  const options = {
    dtype: dtypes[flags.dtype],
    signal: io.signal,
    onProgress: ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) => progress.update(doneBytes, totalBytes),
  }
  const streams = ({ model: config, parameters }: OpenRun): ExportedStreams => ({ config, parameters })
  try {
    if (base && streamsOnly) {
      return await exportStreamSet(flags.out, { ...streams(run), files: new Map([['README.md', card]]) }, base, options)
    }
    const inherited = base ? await inheritedFiles(base.path) : []
    const files = new Map([...inherited, ...tokenizerFileBytes(run.tokenizer), ['README.md', card]])
    const frozen = run.frozen && base ? { base } : {}
    if (base && others.length > 0) {
      const plain = { config: base.config, parameters: new Map(), tied, files, base }
      return await exportModel(flags.out, { ...plain, streamSets: runs.map(streams) }, options)
    }
    await exportModel(flags.out, { ...streams(run), ...frozen, tied, files }, options)
  } finally {
    progress.end()
  }
}

/** Several runs make one model only if they trained streams for one frozen backbone. */
async function requireOneBackbone(runs: readonly OpenRun[], merge: boolean, io: Io): Promise<void> {
  if (!merge) throw usageError('export: several runs go into one folder only with --merge', { flag: 'merge' })
  const whole = runs.find(({ frozen, base }) => !frozen || !base)
  if (whole) {
    throw usageError(`${whole.path}: trained all weights, so its backbone is not that of the other runs; export it alone`, {
      file: whole.path,
    })
  }
  const places = await Promise.all(runs.map(({ base }) => realpath(base!.path)))
  const [first] = runs
  let expected: string | undefined
  for (const [i, run] of runs.entries()) {
    if (places[i] === places[0]) continue
    expected ??= await backboneDigest(first!.base!, io.signal)
    const found = await backboneDigest(run.base!, io.signal)
    if (found === expected) continue
    throw usageError(`${run.path}: was trained on another backbone than ${first!.path}; they cannot share a folder`, {
      file: run.path,
      expected,
      found,
    })
  }
}

const packageVersion = (): string =>
  (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version
