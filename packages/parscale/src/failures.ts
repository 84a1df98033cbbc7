/** How failures are said, and which exit code they become. */
import type { CommanderError } from '@commander-js/extra-typings'
import { type ErrorKind, isParscaleError } from '@parscale/core/internal'
import type { ParsedCommand } from './commands/explain-refusal.ts'
import type { Io } from './terminal/io.ts'
import { isSaidAsData } from './terminal/said-as-data.ts'

/** 0 is success, 1 a failure that is none of these; 130 is Ctrl-C. The table stands in docs/cli.md. */
export const exitCodes: Readonly<Record<ErrorKind, number>> = {
  usage: 2,
  checkpoint: 3,
  unsupported: 3,
  resource: 4,
  hub: 5,
  runtime: 1,
}
export const interruptedExitCode = 130

/** Says why the command line was refused. @returns the exit code */
export async function refusal(error: CommanderError, program: ParsedCommand, argv: readonly string[], io: Io): Promise<number> {
  if (error.exitCode === 0) return 0
  const { explainRefusal } = await import('./commands/explain-refusal.ts')
  const command = askedCommand(program, argv)
  // Commander shows the help on stderr: of a bare `parscale`, and for `help` with a name that there is not.
  if (error.code === 'commander.help') {
    const unknown = argv[2] === 'help' ? argv[3] : undefined
    if (unknown === undefined || command !== program) return exitCodes.usage
    say(io, argv, 'usage', explainRefusal({ code: 'commander.unknownCommand', message: `'${unknown}'` }, command))
    return exitCodes.usage
  }
  const message = explainRefusal(error, command)
  const line = command === program ? 'parscale' : `parscale ${pathTo(program, command).join(' ')}`
  say(
    io,
    argv,
    'usage',
    `${message}\n(${line} --help shows ${command === program ? 'the commands' : 'its options and examples'})`,
  )
  return exitCodes.usage
}

/** Says what went wrong. @returns the exit code */
export function failure(error: unknown, argv: readonly string[], io: Io): number {
  const kind = isParscaleError(error) ? error.kind : 'runtime'
  const message = nextStep(error instanceof Error ? error.message : String(error))
  if (isSaidAsData(error)) io.stderr(`parscale: ${message}\n`)
  else say(io, argv, kind, message)
  if (!isParscaleError(error) && io.env.PARSCALE_DEBUG && error instanceof Error) io.stderr(`${error.stack}\n`)
  return exitCodes[kind]
}

/** For people on stderr; with --json also as data, since whoever reads stdout waits for some. */
function say(io: Io, argv: readonly string[], kind: ErrorKind, message: string): void {
  io.stderr(`parscale: ${message}\n`)
  if (argv.includes('--json')) io.stdout(`${JSON.stringify({ error: { kind, exitCode: exitCodes[kind], message } })}\n`)
}

/** What the library's messages cannot say, since they know of no command. */
const nextSteps: readonly (readonly [RegExp, string])[] = [
  [/; it has P = 1$/, '. parscale train recycle makes streams for a model'],
  [/^data: the (held-out|training) side of /, ": --separator '\\n\\n', --seed N, --held-out 0"],
  [/^the prompt has no tokens/, '; give some text, such as --prompt "Once upon a time"'],
]

function nextStep(message: string): string {
  // A folder that no run has made.
  const missing = /config\.json cannot be read \(ENOENT\)$/
  if (missing.test(message))
    return message.replace(missing, 'config.json is missing; name a folder that parscale train --out has made')
  const [, more = ''] = nextSteps.find(([pattern]) => pattern.test(message)) ?? []
  return message + more
}

/** The command that the words of the line lead to. */
function askedCommand(program: ParsedCommand, argv: readonly string[]): ParsedCommand {
  let at = program
  for (const word of argv.slice(2)) at = at.commands.find((each) => each.name() === word) ?? at
  // A command that has others below it, and does one of them unless another is named.
  return at === program ? at : (at.commands.find((each) => each.name() === unnamedCommand) ?? at)
}

/** `parscale sweep FILE` is `parscale sweep run FILE`. */
const unnamedCommand = 'run'

function pathTo(from: ParsedCommand, to: ParsedCommand): string[] {
  for (const each of from.commands) {
    if (each === to) return [each.name()]
    const below = pathTo(each, to)
    if (below.length > 0) return [each.name(), ...below]
  }
  return []
}
