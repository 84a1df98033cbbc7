/** Escapes foreign text for YAML and Markdown, so that it is shown and never interpreted. */

/** Control characters, and those that YAML breaks lines at or does not print. */
const unprintable = /[\p{Cc}\u2028\u2029\ufeff\ufffe\uffff]/gu
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd')

/** A double-quoted scalar of YAML: a JSON string with more escapes. */
export const quoted = (text: string): string =>
  JSON.stringify(wellFormed(text)).replace(unprintable, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** On one line, without control characters or those that change the direction of text. */
export const oneLine = (text: string): string =>
  wellFormed(text)
    .replace(/[\u202a-\u202e\u2066-\u2069]/g, '')
    .replace(/[\p{Cc}\u2028\u2029\s]+/gu, ' ')
    .trim()

/** Running text: every character that could begin markup, HTML or a link is escaped. */
export const plain = (text: string): string => oneLine(text).replace(/[!-/:-@[-`{-~]/g, '\\$&')

/** A code span: the text as it is, between more backticks than it has in a row. Not for tables, where `|` ends it. */
export function code(text: string): string {
  const line = oneLine(text)
  // Of a span that begins and ends with a space one each is taken away; so a backtick may stand at its edge.
  return line === '' ? '(empty)' : `${fence(line, 1)} ${line} ${fence(line, 1)}`
}

/** A block of code; lines stay, control characters go. */
export function codeBlock(text: string, language = ''): string {
  const lines = text.split(/\r\n?|\n/).map((line) => wellFormed(line).replace(/[\p{Cc}\u2028\u2029]/gu, ' '))
  return `${fence(text, 3)}${language}\n${lines.join('\n')}\n${fence(text, 3)}`
}

const fence = (text: string, least: number): string =>
  '`'.repeat(Math.max(least, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)))

/** A table of cells that are ours or plain(). The first column is text, the others numbers. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
