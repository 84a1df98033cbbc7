/** docs/configuration.md: every option with its key, its variable and its default, from the commands' definitions. */
import type { CommandRow, OptionRow } from './describe-program.ts'
import { sharedKeys } from './general-options.ts'
import { variables } from './variables.ts'

export function configurationPage(rows: readonly CommandRow[]): string {
  const general = rows[0]!.options.filter(isGeneral)
  return [
    head,
    '## Environment\n',
    '| variable | meaning |\n|---|---|',
    ...sharedVariables(rows).map(
      ({ names, description, choices, variable }) => `| \`${variable}\` | \`${names.at(-1)}\`: ${cell(description, choices)} |`,
    ),
    ...variables.map(
      ([name, meaning]) =>
        `| ${name
          .split(', ')
          .map((each) => `\`${each}\``)
          .join(', ')} | ${meaning} |`,
    ),
    '\n## Options of every command\n',
    table(general),
    ...rows.map(
      (row) => `\n## ${row.name}\n\n${row.description[0]!.toUpperCase()}${row.description.slice(1)}.\n\n${tableOf(row)}`,
    ),
    '',
  ].join('\n')
}

const head = `# Configuration

Where the values of options come from, first to last: a flag, the environment, the configuration file, the default.

The file is TOML, \`~/.config/parscale/config.toml\` (below \`XDG_CONFIG_HOME\` where that is set; \`PARSCALE_CONFIG\` names another one). ${sharedKeys.map((key) => `\`${key}\``).join(', ')}
may stand above all tables, for every command that has them; everything else stands in the table of its command. \`_\` does for \`-\`; an option that may be
repeated takes a list. A key that a command does not have is an error that names file and line.

\`\`\`toml
threads = 4

[generate]
temperature = 0.2
max-tokens = 64
stop = ["\\n\\n"]

[chat]
history = false
\`\`\`

This page and the man page are printed from the definitions of the commands: \`npx tsx --conditions=source scripts/configuration-page.ts\`.
`

const isGeneral = ({ key }: OptionRow) => key === 'quiet' || key === 'verbose'

const tableOf = ({ name, options }: CommandRow): string => {
  const own = options.filter((option) => !isGeneral(option))
  if (own.length === 0) return 'No options of its own.'
  return table(own, !name.includes(' '))
}

/** Commands below others have no table in the file. */
const table = (options: readonly OptionRow[], configurable = true): string =>
  [
    '| option | key | default | meaning |\n|---|---|---|---|',
    ...options.map(
      ({ flags, key, defaultText, description, choices }) =>
        `| \`${flags.replaceAll('|', '\\|')}\` | ${configurable ? `\`${key}\`` : ''} | ${defaultText} | ${cell(description, choices)} |`,
    ),
  ].join('\n')

/** Each variable once. */
function sharedVariables(rows: readonly CommandRow[]): OptionRow[] {
  const found = new Map<string, OptionRow>()
  for (const option of rows.flatMap(({ options }) => options))
    if (option.variable && !found.has(option.variable)) found.set(option.variable, option)
  return [...found.values()]
}

const cell = (description: string, choices: readonly string[]): string =>
  `${description}${choices.length > 0 ? `: ${choices.join(', ')}` : ''}`.replaceAll('|', '\\|').replaceAll('<', '\\<')
