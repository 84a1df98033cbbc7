/** Why a command line was refused, with the next step: what the parser found, and what other tools call it. */
import type { CommanderError } from '@commander-js/extra-typings'
import { didYouMean, nearestNames } from '../terminal/nearest.ts'
import { foreignCommands } from './foreign-commands.ts'
import { foreignFlags } from './foreign-flags.ts'

/** What is read of commander's commands. */
export interface ParsedCommand {
  name(): string
  readonly args: readonly string[]
  readonly options: readonly { readonly long?: string | undefined; readonly short?: string | undefined }[]
  readonly commands: readonly ParsedCommand[]
  readonly registeredArguments: readonly unknown[]
}

/** The sentence without `parscale:` before it. */
export function explainRefusal(error: Pick<CommanderError, 'code' | 'message'>, command: ParsedCommand): string {
  const said = error.message.replace(/^error: /, '').replaceAll(/'-\w, --/g, "'--")
  const found = /'([^']*)'/.exec(said)?.[1] ?? ''
  switch (error.code) {
    case 'commander.unknownCommand':
      return unknownCommand(found, command)
    case 'commander.unknownOption':
      return unknownFlag(found.replace(/=.*$/s, ''), command)
    case 'commander.excessArguments':
      return tooManyWords(command)
    case 'commander.missingArgument':
      return missingWord(found, command)
    case 'commander.optionMissingArgument':
      return said.replace(/^option '(\S+) (.+)' argument missing$/, '$1: expected a value, $1 $2')
    case 'commander.invalidArgument':
      return said
        .replace(/^(?:option|command-argument value) '(\S+).*?' argument '(.*)' is invalid\. (.*?)\.?$/s, '$1 $2: $3')
        .replace('Allowed choices are', 'it must be one of')
    case 'commander.conflictingOption':
      return `${said.replaceAll(/option '(--[\w-]+)[^']*'/g, '$1')}; leave one of them out`
    case 'commander.missingMandatoryOptionValue':
      return said.replace(/^required option '(.+)' not specified$/, `${command.name()} needs $1`)
    default:
      return said
  }
}

function unknownCommand(word: string, command: ParsedCommand): string {
  const within = command.name() === 'parscale' ? '' : `${command.name()} `
  const names = command.commands.map((each) => each.name())
  const foreign = within === '' ? foreignCommands.find((each) => each.names.includes(word.toLowerCase())) : undefined
  if (foreign) return `there is no command ${word}; ${foreign.instead}`
  if (within === '' && /[/\\]|\.gguf$|\s/i.test(word))
    return `${JSON.stringify(word)} is no command; a command comes first: parscale generate MODEL --prompt TEXT, or parscale chat MODEL`
  const near = nearestNames(word, names)
  if (near.length > 0) return `there is no command ${within}${word}${didYouMean(near.map((name) => `${within}${name}`))}`
  return `there is no command ${within}${word}; there are ${names.join(', ')}`
}

function unknownFlag(flag: string, command: ParsedCommand): string {
  const own = flagsOf(command)
  const name = command.name()
  const spelled = flag.replaceAll('_', '-')
  const no = `${name} has no ${flag}`
  // Only the spelling differs: --top_p, --maxTokens, -temperature. A letter alone means what it means elsewhere.
  const same = bare(flag).length > 1 && own.find((each) => bare(each) === bare(flag))
  if (same) return `${no}; it has ${same}`
  const foreign =
    foreignFlags.find(({ names }) => names.includes(spelled)) ??
    foreignFlags.find(({ names }) => names.some((each) => each.length > 3 && bare(each) === bare(flag)))
  if (foreign) {
    const { flags = [], at = [], note } = foreign
    const ours = flags.find((each) => own.includes(each))
    if (ours) return `${no}; it has ${ours}${note && flags[0] === ours ? ` (${note})` : ''}`
    if (at.length > 0 && !at.includes(name)) return `${no}; ${at.join(' and ')} ${at.length > 1 ? 'have' : 'has'} ${flags[0]}`
    if (note) return `${no}: ${note.replace('COMMAND', name)}`
  }
  const near = nearestNames(flag, own)
  return near.length > 0 ? `${no}${didYouMean(near)}` : no
}

/** Words that nobody quoted, most of the time. */
function tooManyWords(command: ParsedCommand): string {
  const [name, least] = [command.name(), command.registeredArguments.length]
  const words = command.args.join(' ')
  const text = flagsOf(command).find((flag) => ['--prompt', '--message', '--text'].includes(flag))
  const takes = least === 0 ? 'no word' : least === 1 ? 'one word' : `${least} words`
  const got = `${name} takes ${takes} besides its options, got ${command.args.length}: ${words}`
  if (!text || name === 'train') return `${got}; put quotes around what has spaces in it`
  const [model, ...rest] = command.args as [string, ...string[]]
  const named = /[/\\.~]/.test(model) ? `${model} ` : ''
  return `${got}; did you mean parscale ${name} ${named}${text} ${JSON.stringify((named ? rest : command.args).join(' '))}?`
}

function missingWord(word: string, command: ParsedCommand): string {
  const what = word.toUpperCase()
  const next = ['model', 'source'].includes(word)
    ? ': a folder, a .gguf file or ORG/NAME of the hub; parscale models lists published ones'
    : word === 'target'
      ? ': the folder to make'
      : word === 'file'
        ? ': YAML that describes the sweep, such as parscale sweep law.yaml --out sweeps/law'
        : ''
  return `${command.name()} needs a ${what}${next}`
}

const flagsOf = ({ options }: ParsedCommand): string[] => [...options.flatMap(({ long }) => (long ? [long] : [])), '--help']
const bare = (flag: string) => flag.toLowerCase().replaceAll(/[-_]/g, '')
