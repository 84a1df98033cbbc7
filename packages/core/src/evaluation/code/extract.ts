/** The code in a model's answer. */

export interface ExtractOptions {
  /** The function that is wanted: a block that defines it goes before others. */
  readonly entryPoint?: string | undefined
  /** The code ends before the first of them. */
  readonly stop?: readonly string[]
}

/** A fence of Markdown and what is in it; the last one may never end. */
const fenced = /^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n]*\n([\s\S]*?)(?:^[ \t]*\1[`~]*[ \t]*$|$(?![\s\S]))/gm

/**
 * Of an answer in Markdown, the block that defines the function, or else the longest of Python, or of any; of an answer without
 * blocks, all of it. Then up to the first stop sequence.
 */
export function extractCode(answer: string, { entryPoint, stop = [] }: ExtractOptions = {}): string {
  const text = answer.replaceAll('\r\n', '\n')
  const blocks = [...text.matchAll(fenced)].map(([, , language = '', code = '']) => ({ language: language.toLowerCase(), code }))
  const python = blocks.filter(({ language }) => /^(python3?|py)$/.test(language))
  const candidates = python.length > 0 ? python : blocks
  const defines = entryPoint === undefined ? undefined : new RegExp(`^[ \\t]*(async +)?def +${entryPoint}\\b`, 'm')
  const wanted = defines && candidates.find(({ code }) => defines.test(code))
  const [longest] = candidates.toSorted((a, b) => b.code.length - a.code.length)
  return cutAtStop((wanted ?? longest)?.code ?? text, stop)
}

/** Before the first of the sequences, wherever it begins. */
export function cutAtStop(text: string, stop: readonly string[]): string {
  const ends = stop.map((each) => text.indexOf(each)).filter((at) => at >= 0)
  return text.slice(0, Math.min(text.length, ...ends))
}
