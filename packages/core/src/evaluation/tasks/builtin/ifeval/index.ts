/** IFEval (arXiv 2311.07911): which of a prompt's instructions an answer follows, strictly and loosely. */
import { isParscaleError, ParscaleError, unsupportedError, usageError } from '../../../../errors.ts'
import type { Document } from '../../config.ts'
import { strip } from '../../python/text.ts'
import { type Check, type Fields, instructions } from './instructions.ts'

/** Of the prompt: all followed, 0 or 1. Of its instructions: each, 0 or 1. */
export interface Following extends Record<string, number | readonly number[]> {
  readonly prompt_level_strict_acc: number
  readonly inst_level_strict_acc: readonly number[]
  readonly prompt_level_loose_acc: number
  readonly inst_level_loose_acc: readonly number[]
}

/** @throws usage error that names the instruction and its field; unsupported error for an instruction that there is not */
export function judgeInstructions(doc: Document, text: string): Following {
  const checks = checksOf(doc)
  const followed = (answers: readonly string[]) =>
    checks.map((check) => Number(answers.some((answer) => strip(answer) !== '' && check(answer))))
  const strict = followed([text])
  const loose = followed(looseForms(text))
  return {
    prompt_level_strict_acc: Math.min(...strict),
    inst_level_strict_acc: strict,
    prompt_level_loose_acc: Math.min(...loose),
    inst_level_loose_acc: loose,
  }
}

function checksOf({ instruction_id_list: ids, kwargs }: Document): Check[] {
  if (!Array.isArray(ids) || ids.length === 0 || !Array.isArray(kwargs) || kwargs.length !== ids.length)
    throw usageError('ifeval: a document needs instruction_id_list, and kwargs for each of them')
  return ids.map((id: string, i) => {
    if (!Object.hasOwn(instructions, id))
      throw unsupportedError(`ifeval: there is no instruction ${id}; there are ${Object.keys(instructions).join(', ')}`, {
        found: id,
      })
    try {
      return instructions[id]!((kwargs[i] ?? {}) as Fields)
    } catch (error) {
      if (!isParscaleError(error)) throw error
      throw new ParscaleError(error.kind, `ifeval, ${id}: ${error.message}`, error.facts)
    }
  })
}

/** Without a first or last line, such as "Sure, here it is:", and without the asterisks of Markdown (the paper's section 2.2). */
function looseForms(text: string): string[] {
  const lines = text.split('\n')
  const whole = [text, ...[lines.slice(1), lines.slice(0, -1), lines.slice(1, -1)].map((kept) => strip(kept.join('\n')))]
  return [...whole, ...whole.map((each) => each.replaceAll('*', ''))]
}
