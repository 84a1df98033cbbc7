/** Breaks lines at words, so that a terminal need not break them anywhere. Where there is no width (a pipe, a file), nothing changes. */

/** Lines of at most `width` characters. What follows a break is indented by two more than the line; a word that is longer stays whole. */
export function wrapLines(text: string, width = Infinity): string {
  if (width === Infinity) return text
  return text
    .split('\n')
    .map((line) => (line.length <= width || line.includes('\u001b') ? line : wrapLine(line, width)))
    .join('\n')
}

function wrapLine(line: string, width: number): string {
  const indent = /^ */.exec(line)![0]
  // A label and what it names: the rest stays in the column of the latter.
  const [labelled = ''] = /^ *\S+(?: \S+)* {2,}/.exec(line) ?? []
  if (labelled !== '' && labelled.length <= width * 0.45) {
    const hanging = ' '.repeat(labelled.length)
    return labelled + wrapWords(line.slice(labelled.length), width - labelled.length).join(`\n${hanging}`)
  }
  const more = indent.length + 2 < width / 2 ? `${indent}  ` : indent
  // A wide gap sets a remark apart from an example: it goes onto a line of its own.
  const [first = '', ...remarks] = line.slice(indent.length).split(/ {2,}/)
  const parts = [wrapWords(first, width - indent.length, width - more.length).join(`\n${more}`)]
  for (const remark of remarks) parts.push(wrapWords(remark, width - more.length).join(`\n${more}`))
  return indent + parts.join(`\n${more}`)
}

/** @param first width of the first line @param rest of the others @param hard breaks words that are longer, too */
export function wrapWords(text: string, first: number, rest = first, hard = false): string[] {
  const lines: string[] = []
  let line = ''
  const room = () => (lines.length === 0 ? first : rest)
  for (const word of text.split(' ')) {
    let left = word
    if (line !== '' && line.length + 1 + left.length > room()) {
      lines.push(line)
      line = ''
    }
    while (hard && left.length > room()) {
      const cut = Math.max(left.slice(0, room()).search(/[-/,_][^-/,_]*$/) + 1, 0) || room()
      lines.push(left.slice(0, cut))
      left = left.slice(cut)
    }
    line = line === '' ? left : `${line} ${left}`
  }
  return [...lines, line]
}
