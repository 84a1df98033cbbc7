/** Which ids a tokenizer.json's post-processor puts before and after a single text: a BOS token, mostly. */
import { checkpointError, unsupportedError } from '../errors.ts'
import type { Component } from './tokenizer-json.ts'

export interface Surroundings {
  readonly before: readonly number[]
  readonly after: readonly number[]
}

const nothing: Surroundings = { before: [], after: [] }

/** Most ids around a text, and most processors: a few bytes of JSON could otherwise stand for millions of ids. */
const maxAround = 256

/** @throws unsupported error naming the post-processor; checkpoint error for a template without its tokens' ids */
export function parsePostProcessor(part: Component | null, file: string): Surroundings {
  if (!part || part.type === 'ByteLevel') return nothing
  if (part.type === 'TemplateProcessing') return parseTemplate(part, file)
  if (part.type === 'RobertaProcessing' || part.type === 'BertProcessing') {
    const { cls, sep } = part
    if (cls && sep) return { before: [cls[1]], after: [sep[1]] }
    throw checkpointError(`${file}: post_processor "${part.type}" needs cls and sep, each a token and its id`, { file })
  }
  if (part.type === 'Sequence') {
    const processors = part.processors ?? []
    if (processors.length > maxAround) throw tooMuch(`${processors.length} processors`, file)
    // Each processor wraps what those before it made.
    return processors.reduce((inner: Surroundings, each) => {
      const outer = parsePostProcessor(each, file)
      return checkLength({ before: [...outer.before, ...inner.before], after: [...inner.after, ...outer.after] }, file)
    }, nothing)
  }
  const supported = 'supported are BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing'
  throw unsupportedError(`${file}: post_processor "${part.type}" is not supported; ${supported}`, { file, found: part.type })
}

function parseTemplate(part: Component, file: string): Surroundings {
  const around: { before: number[]; after: number[] } = { before: [], after: [] }
  let texts = 0
  for (const item of part.single ?? []) {
    if (item.Sequence) texts++
    if (!item.SpecialToken) continue
    const { id } = item.SpecialToken
    const ids = part.special_tokens && Object.hasOwn(part.special_tokens, id) ? part.special_tokens[id]!.ids : undefined
    if (!ids) throw checkpointError(`${file}: post_processor names ${id}, which its special_tokens do not have`, { file })
    const side = texts > 0 ? around.after : around.before
    for (const each of ids) {
      side.push(each)
      checkLength(around, file)
    }
  }
  if (texts !== 1) {
    throw unsupportedError(`${file}: post_processor has a template with the text ${texts} times; supported is once`, {
      file,
      found: texts,
    })
  }
  return around
}

function checkLength(around: Surroundings, file: string): Surroundings {
  const length = around.before.length + around.after.length
  if (length > maxAround) throw tooMuch(`more than ${maxAround} ids around a text`, file)
  return around
}

const tooMuch = (what: string, file: string) =>
  unsupportedError(`${file}: post_processor has ${what}; supported are up to ${maxAround}`, { file, expected: maxAround })
