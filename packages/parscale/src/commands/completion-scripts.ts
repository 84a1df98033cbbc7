/** Completion for bash, zsh and fish: commands, options, values that are a choice; file names everywhere else. */
import type { CommandRow, OptionRow } from './describe-program.ts'

/** The first words, and the second ones of commands that have others below them. */
function wordsOf(rows: readonly CommandRow[]): Map<string, string[]> {
  const words = new Map<string, string[]>([['', []]])
  for (const { name } of rows) {
    const [first = '', second] = name.split(' ')
    if (!words.get('')!.includes(first)) words.get('')!.push(first)
    if (second !== undefined) words.set(first, [...(words.get(first) ?? []), second])
  }
  return words
}

const flagsOf = (row: CommandRow): string[] => [
  ...row.options.flatMap(({ names }) => names.filter((name) => name.startsWith('--'))),
  '--help',
]
const chosen = (row: CommandRow): readonly OptionRow[] => row.options.filter(({ choices }) => choices.length > 0)
/** Options whose value is a file or any text: files are offered. */
const valued = (row: CommandRow): string[] =>
  row.options.filter(({ takesValue, choices }) => takesValue && choices.length === 0).flatMap(({ names }) => names)

export function bashScript(rows: readonly CommandRow[]): string {
  const words = wordsOf(rows)
  const groups = [...words].filter(([first]) => first !== '')
  const cases = rows.map((row) => {
    const values = chosen(row).map(
      ({ names, choices }) =>
        `      ${names.join('|')}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$word")); return ;;\n`,
    )
    const files = valued(row)
    return [
      `  '${row.name}')\n    case $before in\n`,
      ...values,
      ...(files.length > 0 ? [`      ${files.join('|')}) return ;;\n`] : []),
      `    esac\n    flags='${flagsOf(row).join(' ')}' ;;\n`,
    ].join('')
  })
  return `# Completion of parscale for bash: source <(parscale completion bash)
_parscale() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} flags=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${words.get('')!.join(' ')} --help --version' -- "$word"))
    return
  fi
  case $command in
${groups
  .map(
    ([first, others]) => `    ${first})
      if [ "$COMP_CWORD" -eq 2 ]; then COMPREPLY=($(compgen -W '${others.join(' ')}' -- "$word")); return; fi
      command="$command \${COMP_WORDS[2]}" ;;
`,
  )
  .join('')}  esac
  case $command in
${cases.join('')}  esac
  # Files and folders, where no option begins.
  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W "$flags" -- "$word")); fi
}
complete -o default -F _parscale parscale
`
}

/** In single quotes, where zsh and fish take everything but the quote as it is. */
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
/** zsh's _arguments gives these a meaning of their own. */
const zshText = (text: string) => text.replace(/[[\]:\\]/g, (c) => `\\${c}`)

export function zshScript(rows: readonly CommandRow[]): string {
  const words = wordsOf(rows)
  const spec = ({ names, description, takesValue, choices }: OptionRow): string[] =>
    names.map((name) => {
      const value = choices.length > 0 ? `:value:(${choices.join(' ')})` : takesValue ? ':value:_files' : ''
      return quoted(`*${name}[${zshText(description)}]${value}`)
    })
  const cases = rows.map(
    (row) =>
      `    ${quoted(row.name)}) _arguments ${[...row.options.flatMap(spec), quoted('--help[show options and examples]'), "'*:file:_files'"].join(' ')} ;;\n`,
  )
  const described = words.get('')!.map((first) => {
    const row = rows.find(({ name }) => name.split(' ')[0] === first)!
    return quoted(`${first}:${zshText(row.name === first ? row.description : `${words.get(first)!.join(', ')}`)}`)
  })
  return `#compdef parscale
# Completion of parscale for zsh: parscale completion zsh > "\${fpath[1]}/_parscale"
_parscale() {
  local command=$words[2]
  if (( CURRENT == 2 )); then
    local -a commands=(${described.join(' ')})
    _describe command commands
    return
  fi
${[...words]
  .filter(([first]) => first !== '')
  .map(
    ([first, others]) => `  if [[ $command == ${first} ]]; then
    if (( CURRENT == 3 )); then compadd ${others.join(' ')}; return; fi
    command="$command $words[3]"
    shift words; (( CURRENT-- ))
  fi
`,
  )
  .join('')}  shift words; (( CURRENT-- ))
  case $command in
${cases.join('')}  esac
}
# Sourced, or found in fpath by the first Tab.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _parscale "$@"; else compdef _parscale parscale; fi
`
}

export function fishScript(rows: readonly CommandRow[]): string {
  const words = wordsOf(rows)
  const all = words.get('')!
  const lines: string[] = []
  for (const first of all) {
    const row = rows.find(({ name }) => name === first)
    lines.push(
      `complete -c parscale -n __fish_use_subcommand -f -a ${first} -d ${quoted(row?.description ?? words.get(first)!.join(', '))}`,
    )
    const others = words.get(first)
    if (others)
      lines.push(
        `complete -c parscale -n '__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${others.join(' ')}' -f -a ${quoted(others.join(' '))}`,
      )
  }
  for (const row of rows) {
    const seen = row.name.split(' ').map((word) => `__fish_seen_subcommand_from ${word}`)
    for (const { names, description, takesValue, choices } of row.options) {
      const short = names.find((name) => /^-\w$/.test(name))
      const long = names.find((name) => name.startsWith('--'))
      const value = choices.length > 0 ? ` -x -a ${quoted(choices.join(' '))}` : takesValue ? ' -r' : ''
      lines.push(
        `complete -c parscale -n '${seen.join('; and ')}'${short ? ` -s ${short.slice(1)}` : ''}${long ? ` -l ${long.slice(2)}` : ''}${value} -d ${quoted(description)}`,
      )
    }
  }
  return `# Completion of parscale for fish: parscale completion fish > ~/.config/fish/completions/parscale.fish\n${lines.join('\n')}\n`
}
