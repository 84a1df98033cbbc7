/** Which ids a tokenizer.json's post-processor puts before and after a single text: a BOS token, mostly. */
import { checkpointError, unsupportedError } from '../errors.ts'
import type { Component } from './tokenizer-json.ts'

export interface Surroundings {
  readonly before: readonly number[]
  readonly after: readonly number[]
}

const nothing: Surroundings = { before: [], after: [] }

/** @throws unsupported error naming the post-processor; checkpoint error for a template without its tokens' ids */
export function parsePostProcessor(part: Component | null, file: string): Surroundings {
  if (!part || part.type === 'ByteLevel') return nothing
  if (part.type === 'Sequence') {
    const inner = (part.processors ?? []).map((each) => parsePostProcessor(each, file))
    // Each processor wraps what those before it made.
    return inner.reduce(
      (sum, each) => ({ before: [...each.before, ...sum.before], after: [...sum.after, ...each.after] }),
      nothing,
    )
  }
  if (part.type !== 'TemplateProcessing') {
    const supported = 'supported are ByteLevel, Sequence, TemplateProcessing'
    throw unsupportedError(`${file}: post_processor "${part.type}" is not supported; ${supported}`, { file, found: part.type })
  }
  return parseTemplate(part, file)
}

function parseTemplate(part: Component, file: string): Surroundings {
  const before: number[] = []
  const after: number[] = []
  let seenText = false
  for (const item of part.single ?? []) {
    if (item.Sequence) seenText = true
    if (!item.SpecialToken) continue
    const { id } = item.SpecialToken
    const ids = part.special_tokens && Object.hasOwn(part.special_tokens, id) ? part.special_tokens[id]!.ids : undefined
    if (!ids) {
      throw checkpointError(`${file}: post_processor names ${id}, which its special_tokens do not have`, {
        file,
      })
    }
    ;(seenText ? after : before).push(...ids)
  }
  return { before, after }
}
