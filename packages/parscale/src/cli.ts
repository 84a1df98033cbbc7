/** The command line: what `parscale` does with its arguments, and how failures become exit codes. */
import { Command, CommanderError } from '@commander-js/extra-typings'
import { type ErrorKind, isParscaleError } from '@parscale/core/internal'
import { packageVersion } from './package-files.ts'
import { createIo, type Io } from './terminal/io.ts'

interface CommandRow {
  readonly name: string
  readonly description: string
  /** The product is a file, not what is printed. */
  readonly writesFiles?: true
  /** The command's file is loaded when the command is asked for, since what it imports may take longer than what it does. */
  readonly load: () => Promise<{ register(command: Command, io: Io): void }>
}

/** In the order of `parscale --help`. */
export const commands: readonly CommandRow[] = [
  { name: 'generate', description: 'continue a prompt', load: () => import('./commands/generate.ts') },
  { name: 'chat', description: 'talk with an instruction-tuned model', load: () => import('./commands/chat.ts') },
  { name: 'score', description: 'log-probabilities and perplexity of a text', load: () => import('./commands/score.ts') },
  {
    name: 'compare',
    description: 'what fewer bits cost: divergence, agreement and perplexity beside the original',
    load: () => import('./commands/compare.ts'),
  },
  {
    name: 'inspect',
    description: 'family, shapes, streams, parameters and the memory a model needs',
    load: () => import('./commands/inspect.ts'),
  },
  {
    name: 'convert',
    writesFiles: true,
    description: 'write a Hugging Face folder (safetensors) from a folder or a GGUF file',
    load: () => import('./commands/convert.ts'),
  },
  {
    name: 'quantize',
    writesFiles: true,
    description: 'write a model with its weights in 8 or 4 bits',
    load: () => import('./commands/quantize.ts'),
  },
  {
    name: 'pull',
    writesFiles: true,
    description: 'download a model into the Hugging Face cache and print its folder',
    load: () => import('./commands/pull.ts'),
  },
  { name: 'models', description: 'list the published ParScale checkpoints', load: () => import('./commands/models.ts') },
  {
    name: 'cache',
    description: 'what was made of models and data and kept: list, verify, remove',
    load: () => import('./commands/cache.ts'),
  },
  {
    name: 'train',
    writesFiles: true,
    description: 'train a model: pretrain, two-stage, recycle or sft',
    load: () => import('./commands/train.ts'),
  },
  {
    name: 'export',
    writesFiles: true,
    description: 'write what a run has trained as a Hugging Face folder, with a model card',
    load: () => import('./commands/export.ts'),
  },
  {
    name: 'diagnose',
    description: 'whether the streams work: losses, correlation, weights, alarms',
    load: () => import('./commands/diagnose.ts'),
  },
  {
    name: 'fit',
    description: 'fit a scaling law to losses over parameters, streams and data',
    load: () => import('./commands/fit.ts'),
  },
  {
    name: 'predict',
    description: 'loss of a size and P by a fitted law, and what P streams are worth',
    load: () => import('./commands/predict.ts'),
  },
  {
    name: 'cost',
    description: 'memory and latency of a model with P streams on a device',
    load: () => import('./commands/cost.ts'),
  },
  { name: 'plan', description: 'the size, P and bits of lowest loss within a budget', load: () => import('./commands/plan.ts') },
  {
    name: 'bench',
    description: 'speed and memory of a model on this machine, beside what the machine allows',
    load: () => import('./commands/bench.ts'),
  },
]

/** 0 is success, 1 a failure that is none of these; 130 is Ctrl-C. The table stands in docs/cli.md. */
const exitCodes: Readonly<Record<ErrorKind, number>> = {
  usage: 2,
  checkpoint: 3,
  unsupported: 3,
  resource: 4,
  hub: 5,
  runtime: 1,
}
const interrupted = 130

/** Flags whose value is a file that the command writes. */
const fileOptions = ['logits', 'plot', 'resume'] as const

/** The program with all its commands, of which the one that `argv` asks for is loaded. */
export async function programFor(argv: readonly string[], io: Io): Promise<Command> {
  const program = new Command('parscale')
    .description('Run language models with parallel streams (ParScale, arXiv 2505.10475).')
    .version(packageVersion())
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })
    .configureHelp({ sortSubcommands: false, subcommandTerm: (command) => command.name() })
    .showHelpAfterError('(parscale COMMAND --help shows its options and examples)')
    .exitOverride()
    .addHelpText(
      'after',
      '\nExit codes: 0 success, 1 failure, 2 usage, 3 model or data file, 4 memory or disk, 5 hub or network, 130 interrupted.',
    )
  // The program's own options take no values: the first other word is a command, or `help` and then a command.
  const [first, second] = argv.slice(2).filter((word) => !word.startsWith('-'))
  const asked = commands.find(({ name }) => name === (first === 'help' ? second : first))
  for (const row of commands) {
    const command = program.command(row.name).description(row.description)
    if (row === asked) (await row.load()).register(command, io)
  }
  program.hook('preAction', async (_, command) => {
    await io.interrupts?.watch()
    if (asked?.writesFiles || fileOptions.some((name) => command.getOptionValue(name) !== undefined)) io.finishWithoutReader?.()
  })
  return program
}

/** Runs one command. @returns the exit code */
export async function run(argv: readonly string[], io: Io = createIo()): Promise<number> {
  const ended = new AbortController()
  const inBackground: Promise<number>[] = []
  // Said at once: what the command has yet to say is wrong as well.
  const background: Io['background'] = (work) =>
    void inBackground.push(
      work(ended.signal).then(
        () => 0,
        (error) => failure(error, io),
      ),
    )
  try {
    const program = await programFor(argv, { ...io, background })
    await program.parseAsync(argv)
    ended.abort()
    return Math.max(0, ...(await Promise.all(inBackground)))
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage
    if (io.signal.aborted) {
      // Text may have been cut off in the middle of a line.
      io.stderr(`${io.isTTY.stdout ? '\n' : ''}interrupted\n`)
      return interrupted
    }
    return failure(error, io)
  } finally {
    ended.abort()
    await Promise.all(inBackground)
  }
}

/** Says what went wrong. @returns the exit code */
function failure(error: unknown, io: Io): number {
  io.stderr(`parscale: ${error instanceof Error ? error.message : String(error)}\n`)
  if (isParscaleError(error)) return exitCodes[error.kind]
  if (io.env.PARSCALE_DEBUG && error instanceof Error) io.stderr(`${error.stack}\n`)
  return 1
}
