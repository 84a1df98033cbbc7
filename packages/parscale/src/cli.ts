/** The command line: what `parscale` does with its arguments, and how failures become exit codes. */
import process from 'node:process'
import { Command, CommanderError } from '@commander-js/extra-typings'
import { failure, interruptedExitCode, refusal } from './failures.ts'
import { packageVersion } from './package-files.ts'
import { createIo, type Io, report } from './terminal/io.ts'
import { type Loudness, withLoudness } from './terminal/loudness.ts'
import { voiceOf } from './train/workers/voice.ts'

interface CommandRow {
  readonly name: string
  readonly description: string
  /** The product is a file, not what is printed. */
  readonly writesFiles?: true
  /** The command's file is loaded when the command is asked for, since what it imports may take longer than what it does. */
  readonly load: () => Promise<{ register(command: Command, io: Io, whole: () => Promise<Command>): void }>
}

/** In the order of `parscale --help`. */
export const commands: readonly CommandRow[] = [
  { name: 'generate', description: 'continue a prompt', load: () => import('./commands/generate.ts') },
  { name: 'chat', description: 'talk with an instruction-tuned model', load: () => import('./commands/chat.ts') },
  { name: 'serve', description: 'models behind the OpenAI API', load: () => import('./commands/serve.ts') },
  {
    name: 'mcp',
    description: 'tools for assistants (Model Context Protocol)',
    load: () => import('./commands/mcp.ts'),
  },
  { name: 'ps', description: 'the models of a server that runs', load: () => import('./commands/ps.ts') },
  {
    name: 'studio',
    description: 'a page that shows streams, law, price and training',
    load: () => import('./commands/studio.ts'),
  },
  { name: 'score', description: 'log-probabilities and perplexity of a text', load: () => import('./commands/score.ts') },
  {
    name: 'eval',
    description: 'tasks of lm-evaluation-harness by P, with intervals',
    load: () => import('./commands/eval.ts'),
  },
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
    name: 'sweep',
    description: 'many runs from one file: here, on Slurm or on Redis; stopped early, continued, in one table',
    load: () => import('./commands/sweep.ts'),
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
    name: 'judge',
    writesFiles: true,
    description: 'whether generated programs pass their tests, run in a sandbox; pass@k',
    load: () => import('./commands/judge.ts'),
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
  {
    name: 'completion',
    description: 'print what completes command lines in bash, zsh or fish',
    load: () => import('./commands/completion.ts'),
  },
]

/** Flags whose value is a file that the command writes. */
const fileOptions = ['logits', 'plot', 'resume', 'out'] as const

/** The program with all its commands, of which the one that `argv` asks for is loaded, or every one. */
export async function programFor(argv: readonly string[], rawIo: Io, whole = false): Promise<Command> {
  const loudness: Loudness = { quiet: false, verbose: false }
  const io = withLoudness(rawIo, loudness)
  // The program's own options take no values: the first other word is a command, or `help` and then a command.
  const [first, second] = argv.slice(2).filter((word) => !word.startsWith('-'))
  const asked = commands.find(({ name }) => name === (first === 'help' ? second : first))
  // Of `help` with a name that there is not, a sentence says it, not all of the help.
  const noHelp = first === 'help' && second !== undefined && !asked
  const program = new Command('parscale')
    .description('Run language models with parallel streams (ParScale, arXiv 2505.10475).')
    .version(packageVersion())
    // What is refused is explained in failures.ts.
    .configureOutput({
      writeOut: (text) => report(io, text),
      writeErr: (text) => (noHelp ? undefined : io.stderr(text)),
      outputError: () => {},
    })
    .configureHelp({
      sortSubcommands: false,
      subcommandTerm: (command) => command.name(),
      helpWidth: Math.min(widestHelp, io.columns ?? usualWidth),
    })
    .showSuggestionAfterError(false)
    .exitOverride()
    .addHelpText('after', helpAfter)
  for (const row of commands) {
    const command = program.command(row.name).description(row.description)
    if (row !== asked && !whole) continue
    ;(await row.load()).register(command, io, () => programFor([], rawIo, true))
    const { addGeneralOptions } = await import('./commands/general-options.ts')
    addGeneralOptions(command)
  }
  program.hook('preAction', async (_, command) => {
    const { applySettings } = await import('./commands/general-options.ts')
    await applySettings(command, asked?.name ?? '', io, loudness)
    await io.interrupts?.watch()
    if (asked?.writesFiles || fileOptions.some((name) => command.getOptionValue(name) !== undefined)) io.finishWithoutReader?.()
  })
  const started = performance.now()
  program.hook('postAction', () => {
    const { maxRSS } = process.resourceUsage() // in KiB
    io.detail?.(`took ${((performance.now() - started) / 1000).toFixed(2)} s, peak memory ${(maxRSS / 1024).toFixed(0)} MiB\n`)
  })
  return program
}

const helpAfter = `
Values come from flags, else from the environment (PARSCALE_*), else from the
configuration file (~/.config/parscale/config.toml), else they are the defaults
shown here.

Exit codes: 0 success, 1 failure, 2 usage, 3 model or data file, 4 memory or
disk, 5 hub or network, 130 interrupted.`

/** In a pipe, and at most. */
const usualWidth = 80
const widestHelp = 100

/** Of a worker that stops since another one was told to. */
const isStop = (error: unknown): boolean => error instanceof DOMException && error.name === 'AbortError'

/** Runs one command. @returns the exit code */
export async function run(argv: readonly string[], io: Io = createIo()): Promise<number> {
  const ended = new AbortController()
  const inBackground: Promise<number>[] = []
  // Said at once: what the command has yet to say is wrong as well.
  const background: Io['background'] = (work) =>
    void inBackground.push(
      work(ended.signal).then(
        () => 0,
        (error) => failure(error, argv, io),
      ),
    )
  let program: Command | undefined
  try {
    program = await programFor(argv, { ...io, background })
    await program.parseAsync(argv)
    ended.abort()
    return Math.max(0, ...(await Promise.all(inBackground)))
  } catch (error) {
    const voice = await voiceOf(io)
    if (!voice) return interruptedExitCode
    if (error instanceof CommanderError) return await refusal(error, program!, argv, voice)
    if (io.signal.aborted || isStop(error)) {
      // Text may have been cut off in the middle of a line.
      io.stderr(`${io.isTTY.stdout ? '\n' : ''}interrupted\n`)
      return interruptedExitCode
    }
    return failure(error, argv, voice)
  } finally {
    ended.abort()
    await Promise.all(inBackground)
  }
}
