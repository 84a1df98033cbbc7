/** The man page, in the macros of man(7), from the commands' definitions. */
import type { CommandRow, OptionRow } from './describe-program.ts'
import { variables } from './variables.ts'

export function manPage(rows: readonly CommandRow[], version: string): string {
  return [
    `.\\" Printed by scripts/configuration-page.ts from the definitions of the commands.`,
    `.TH PARSCALE 1 "" "parscale ${version}" "User commands"`,
    '.SH NAME',
    'parscale \\- run language models with parallel streams',
    '.SH SYNOPSIS',
    '.B parscale',
    '.I command',
    '.RI [ options ]',
    '.SH DESCRIPTION',
    'Runs, trains and measures language models with parallel streams (ParScale, arXiv 2505.10475).',
    'Values come from flags, else from the environment, else from the configuration file, else they are the defaults named here.',
    ...rows.flatMap(command),
    '.SH ENVIRONMENT',
    ...variables.flatMap(([name, meaning]) => ['.TP', `.B ${escaped(name)}`, escaped(meaning.replaceAll('`', ''))]),
    '.SH EXIT STATUS',
    ...[
      '0 success',
      '1 failure',
      '2 usage',
      '3 model or data file',
      '4 memory or disk',
      '5 hub or network',
      '130 interrupted',
    ].flatMap((line) => {
      const [code, ...words] = line.split(' ')
      return ['.TP', `.B ${code}`, words.join(' ')]
    }),
    '',
  ].join('\n')
}

const command = ({ name, description, words, options }: CommandRow): string[] => [
  `.SH "${escaped(`parscale ${name} ${words}`.trim())}"`,
  escaped(description),
  ...options.flatMap(option),
]

const option = ({ flags, description, choices, defaultText, variable }: OptionRow): string[] => {
  const more = [
    ...(choices.length > 0 ? [`one of ${choices.join(', ')}`] : []),
    ...(defaultText === '' ? [] : [`default ${defaultText}`]),
    ...(variable ? [`variable ${variable}`] : []),
  ]
  return ['.TP', `.B ${escaped(flags)}`, escaped(`${description}${more.length > 0 ? ` (${more.join('; ')})` : ''}`)]
}

/** A hyphen that can be typed, no backslash that troff would read, no point or quote that begins a request. */
const escaped = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replace(/^([.'])/, '\\&$1')
