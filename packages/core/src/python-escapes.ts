/** How Python writes characters in string literals: templates, task files and `repr` share it. */

/** What stands behind a backslash, and what it means. A line's end means nothing: the literal goes on. */
export const simpleEscapes: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

/** A character as `\x..`, `\u....` or `\U........`, the shortest that holds it. */
export function numericEscape(character: string): string {
  const code = character.codePointAt(0)!.toString(16)
  if (code.length <= 2) return `\\x${code.padStart(2, '0')}`
  return code.length <= 4 ? `\\u${code.padStart(4, '0')}` : `\\U${code.padStart(8, '0')}`
}
