/** Processing that lm-evaluation-harness has as Python and templates cannot do, under names of our own (`!builtin NAME`). */
import { unsupportedError } from '../../../errors.ts'
import type { Document } from '../config.ts'
import { judgeMath, withAnswer } from './minerva-math.ts'
import { programs, type TextProcessing } from './programs.ts'

/** Metrics of one question, from its document and the texts a model wrote: a number, or several values. */
export type ResultProcessing = (doc: Document, texts: readonly string[]) => Record<string, number | readonly number[]>

const documents: Readonly<Record<string, (doc: Document) => Document>> = { minerva_math: withAnswer }
const results: Readonly<Record<string, () => Promise<ResultProcessing>>> = {
  // Loaded when asked for: its profiles of languages are larger than all the rest of this room.
  ifeval: async () => {
    const { judgeInstructions } = await import('./ifeval/index.ts')
    return (doc, [text]) => judgeInstructions(doc, text!)
  },
  minerva_math:
    async () =>
    (doc, [text]) =>
      judgeMath(doc, text!),
}

export const documentProcessing = (name: string, file: string) => find(documents, 'process_docs', name, file)
export const resultProcessing = async (name: string, file: string) => find(results, 'process_results', name, file)()

/** A step of `filter_list` that is `function: custom` with `filter_fn: !builtin NAME`. */
export const textProcessing = (name: string, file: string): TextProcessing => find(programs, 'filter_fn', name, file)

function find<T>(table: Readonly<Record<string, T>>, field: string, name: string, file: string): T {
  if (Object.hasOwn(table, name)) return table[name]!
  throw unsupportedError(`${file}: ${field}: there is no !builtin ${name}; there are ${Object.keys(table).join(', ')}`, {
    file,
    found: name,
  })
}
