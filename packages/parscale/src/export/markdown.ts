/** Text that came from outside, as Markdown that shows it and does nothing else. */

/** On one line, without control characters or those that change the direction of text. */
export const oneLine = (text: string): string =>
  text
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .replace(/[\p{Cc}\u2028\u2029\s]+/gu, ' ')
    .trim()

/** Running text: every character that could begin markup, HTML or a link is escaped. */
export const plain = (text: string): string => oneLine(text).replace(/[!-/:-@[-`{-~]/g, '\\$&')

/** A code span: the text as it is, between more backticks than it has in a row. Not for tables, where `|` ends it. */
export function code(text: string): string {
  const line = oneLine(text)
  if (line === '') return '(empty)'
  const fence = '`'.repeat(longestRun(line) + 1)
  // Of a span that begins and ends with a space one each is taken away; so a backtick may stand at its edge.
  return `${fence} ${line} ${fence}`
}

/** A block of code; lines stay, control characters go. */
export function codeBlock(text: string, language = ''): string {
  const lines = text
    .split(/\r\n?|\n/)
    .map((line) => line.replace(/[\p{Cc}\u2028\u2029]/gu, ' ').replace(/\p{Surrogate}/gu, '\ufffd'))
  const fence = '`'.repeat(Math.max(3, longestRun(text) + 1))
  return `${fence}${language}\n${lines.join('\n')}\n${fence}`
}

const longestRun = (text: string): number => Math.max(0, ...[...text.matchAll(/`+/g)].map(([run]) => run.length))

/** A table of cells that are ours or plain(). The first column is text, the others numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
