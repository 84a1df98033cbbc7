/**
 * What a model wrote to a whole program, as lm-evaluation-harness makes it of an answer before it is judged (tasks/humaneval, tasks/mbpp):
 * steps of `filter_list`, by the name of the task that has them first.
 */
import { usageError } from '../../../errors.ts'
import type { Document } from '../config.ts'
import { findAll, pythonRegex } from '../python/regex.ts'

export type TextProcessing = (text: string, doc: Document) => string

const fence = '```'

export const programs: Readonly<Record<string, TextProcessing>> = {
  /** The answer goes on where the prompt ends. */
  humaneval: (text, doc) => promptOf(doc) + text,
  /** The same, up to where the block ends that the question began. */
  humaneval_instruct: (text, doc) => promptOf(doc) + text.split(fence)[0]!,
  /** The block that the question began; nothing where it does not end. */
  mbpp_instruct: (text) => firstBlock(fence + text) ?? firstBlock(`${fence}${text.replaceAll(`${fence}python`, fence)}`) ?? '',
}

function promptOf({ prompt }: Document): string {
  if (typeof prompt === 'string') return prompt
  throw usageError('filter_list: the document has no text prompt, which an answer goes on with')
}

// A word right behind the fence is taken for a language, also where it is code: so does the harness.
const block = pythonRegex(`(?s)${fence}(?:\\w+)?\\n?(.*?)\\n?${fence}`)
const firstBlock = (text: string): string | undefined => findAll(block, text)[0] as string | undefined
