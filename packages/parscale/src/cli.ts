/** The command line: what `parscale` does with its arguments, and how failures become exit codes. */
import { Command, CommanderError } from '@commander-js/extra-typings'
import { type ErrorKind, isParscaleError } from '@parscale/core'
import { registerBench } from './commands/bench.ts'
import { registerChat } from './commands/chat.ts'
import { registerCompare } from './commands/compare.ts'
import { registerConvert } from './commands/convert.ts'
import { registerCost } from './commands/cost.ts'
import { registerDiagnose } from './commands/diagnose.ts'
import { registerExport } from './commands/export.ts'
import { registerFit } from './commands/fit.ts'
import { registerGenerate } from './commands/generate.ts'
import { registerInspect } from './commands/inspect.ts'
import { registerModels } from './commands/models.ts'
import { registerPlan } from './commands/plan.ts'
import { registerPredict } from './commands/predict.ts'
import { registerPull } from './commands/pull.ts'
import { registerQuantize } from './commands/quantize.ts'
import { registerScore } from './commands/score.ts'
import { registerTrain } from './commands/train.ts'
import { createIo, type Io } from './terminal/io.ts'
import { packageVersion } from './version.ts'

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

const fileCommands = new Set(['train', 'export', 'convert', 'quantize', 'pull'])
const fileOptions = ['logits', 'plot', 'resume'] as const

/** Whether the product of a command is a file, not what it prints. */
const writesFiles = (name: string, options: Readonly<Record<string, unknown>>): boolean =>
  fileCommands.has(name) || fileOptions.some((option) => options[option] !== undefined)

/** Runs one command. @returns the exit code */
export async function run(argv: readonly string[], io: Io = createIo()): Promise<number> {
  const program = new Command('parscale')
    .description('Run language models with parallel streams (ParScale, arXiv 2505.10475).')
    .version(packageVersion())
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })
    .configureHelp({ sortSubcommands: false })
    .showHelpAfterError('(parscale COMMAND --help shows its options and examples)')
    .exitOverride()
    .addHelpText(
      'after',
      '\nExit codes: 0 success, 1 failure, 2 usage, 3 model or data file, 4 memory or disk, 5 hub or network, 130 interrupted.',
    )
  const commands = [
    ...[registerGenerate, registerChat, registerScore, registerCompare, registerInspect],
    ...[registerConvert, registerQuantize, registerPull, registerModels],
    ...[registerTrain, registerExport, registerDiagnose, registerFit, registerPredict, registerCost, registerPlan, registerBench],
  ]
  for (const register of commands) register(program, io)
  program.hook('preAction', async (_, command) => {
    await io.interrupts?.watch()
    if (writesFiles(command.name(), command.opts())) io.finishWithoutReader?.()
  })
  try {
    await program.parseAsync(argv)
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage
    if (io.signal.aborted) {
      // Text may have been cut off in the middle of a line.
      io.stderr(`${io.isTTY.stdout ? '\n' : ''}interrupted\n`)
      return interrupted
    }
    io.stderr(`parscale: ${error instanceof Error ? error.message : String(error)}\n`)
    if (isParscaleError(error)) return exitCodes[error.kind]
    if (io.env.PARSCALE_DEBUG && error instanceof Error) io.stderr(`${error.stack}\n`)
    return 1
  }
}
