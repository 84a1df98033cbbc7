/** What the definitions of commands and options say, as data: completion, the man page and the table of settings are printed from it. */
import type { CommandUnknownOpts as Command, Option } from '@commander-js/extra-typings'
import { keyOf } from './config-file.ts'

export interface OptionRow {
  /** `-q, --quiet`, `--p <streams>`. */
  readonly flags: string
  readonly names: readonly string[]
  readonly description: string
  readonly takesValue: boolean
  readonly choices: readonly string[]
  /** In words; empty for none. */
  readonly defaultText: string
  readonly variable: string | undefined
  /** In the configuration file. */
  readonly key: string
}

export interface CommandRow {
  /** `generate`, `cache list`. */
  readonly name: string
  readonly description: string
  /** `[model]`, `<source> <target>`. */
  readonly words: string
  readonly options: readonly OptionRow[]
}

/** All commands that do something, those below others under both names. */
export function describeProgram(program: Command): CommandRow[] {
  const rows = (command: Command, path: readonly string[]): CommandRow[] => {
    const name = [...path, command.name()]
    if (command.commands.length > 0) return command.commands.flatMap((each) => rows(each, name))
    const words = command.registeredArguments.map((word) => {
      const shown = `${word.name()}${word.variadic ? '...' : ''}`
      return word.required ? `<${shown}>` : `[${shown}]`
    })
    return [
      {
        name: name.join(' '),
        description: command.description(),
        words: words.join(' '),
        options: command.options.map(optionRow),
      },
    ]
  }
  return program.commands.flatMap((command) => rows(command, []))
}

function optionRow(option: Option): OptionRow {
  const [, written] = /\(env: (PARSCALE_\w+)\)/.exec(option.description) ?? []
  return {
    flags: option.flags,
    names: [option.short, option.long].filter((name) => name !== undefined),
    description: option.description.replace(/ \(env: PARSCALE_\w+\)/, ''),
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
    defaultText: option.negate ? '' : defaultText(option),
    variable: option.envVar ?? written,
    key: keyOf(option),
  }
}

function defaultText({ defaultValue, defaultValueDescription }: Option): string {
  if (defaultValueDescription !== undefined) return defaultValueDescription
  if (defaultValue === undefined) return ''
  return Array.isArray(defaultValue) ? defaultValue.join(',') : String(defaultValue)
}
