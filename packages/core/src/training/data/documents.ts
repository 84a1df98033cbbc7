/**
 * Documents: what people train on, one at a time. A document is a text or a conversation; it is the unit that goes to one
 * side of the held-out split and that packing keeps apart.
 */
import { checkpointError, type ErrorFacts, type ParscaleError, usageError } from '../../errors.ts'
import type { ChatMessage } from '../../tokenizer/index.ts'

export interface TextDocument {
  readonly text: string
  /** Where it comes from, for messages: a file, with line or row where there are several. */
  readonly where: string
}

export interface ChatDocument {
  readonly messages: readonly ChatMessage[]
  readonly where: string
}

export type TrainingDocument = TextDocument | ChatDocument

/** A document, or a part of one, as what a model is trained on. */
export interface EncodedDocument {
  readonly ids: Uint32Array
  /** 1 where a token counts as a target of the loss, one per id. Absent: all do. */
  readonly counted?: Uint8Array
}

/** Why a document was left out. */
export const skipReasons = ['empty', 'notUtf8', 'badJson', 'missingField', 'tooLong'] as const
export type SkipReason = (typeof skipReasons)[number]

export interface DocumentOptions {
  /** Field of JSON lines and Parquet rows that holds the text. Default: `messages` where a row has it, else `text`. */
  readonly field?: string
  /** Cuts text files into documents, such as `<|endoftext|>`. Default: a file is one document. */
  readonly separator?: string
  /** Leave out what cannot be read, and report it, instead of throwing. Default false. */
  readonly skipBad?: boolean
  readonly signal?: AbortSignal
  /** Told of every document that is left out. Empty ones always are. */
  readonly onSkip?: (reason: SkipReason, where: string) => void
}

/** Longest document in bytes: each is in memory as a whole, and an engine's strings have an end. */
export const maxDocumentBytes = 2 ** 28

/** Reports a document that cannot be read, or throws where it must not be skipped. */
export function rejectDocument(
  { skipBad, onSkip }: DocumentOptions,
  reason: SkipReason,
  where: string,
  error: ParscaleError,
): void {
  if (!skipBad) throw error
  onSkip?.(reason, where)
}

const skipAdvice = 'correct it, or skip what cannot be read'

export const notUtf8 = (where: string, cause: unknown): ParscaleError =>
  checkpointError(`${where}: is not valid UTF-8 text; convert it, or skip what cannot be read`, { file: where, cause })

export const tooLong = (where: string, advice: string): ParscaleError =>
  usageError(`${where}: a document may have at most ${maxDocumentBytes / 2 ** 20} MiB; ${advice}`, { file: where })

/**
 * The document in a row of named values: a text, or a conversation as a list of { role, content }.
 *
 * @returns undefined where it was left out
 * @throws usage error for a row without the field, or with something else in it
 */
export function rowDocument(row: unknown, where: string, options: DocumentOptions): TrainingDocument | undefined {
  const values = (typeof row === 'object' && row !== null && !Array.isArray(row) ? row : {}) as Record<string, unknown>
  const field = options.field ?? (Object.hasOwn(values, 'messages') ? 'messages' : 'text')
  const value = Object.hasOwn(values, field) ? values[field] : undefined
  if (typeof value === 'string') return textDocument(value, where, options)
  if (isConversation(value)) return nonEmpty({ messages: value, where }, value.length === 0, options)
  const facts: ErrorFacts = { file: where, expected: field, found: Object.keys(values) }
  const found = value === undefined ? `fields are ${Object.keys(values).join(', ') || 'none'}` : 'it holds something else'
  const message = `${where}: expected a text, or a list of { role, content }, in field "${field}"; ${found}`
  rejectDocument(options, 'missingField', where, usageError(`${message}; name another field, or ${skipAdvice}`, facts))
  return undefined
}

/** A text as document; undefined, and reported, where there is nothing but whitespace in it. */
export const textDocument = (text: string, where: string, options: DocumentOptions): TextDocument | undefined =>
  nonEmpty({ text, where }, text.trim() === '', options)

function nonEmpty<T extends TrainingDocument>(document: T, isEmpty: boolean, { onSkip }: DocumentOptions): T | undefined {
  if (!isEmpty) return document
  onSkip?.('empty', document.where)
  return undefined
}

const isConversation = (value: unknown): value is ChatMessage[] =>
  Array.isArray(value) &&
  value.every((message) => typeof message === 'object' && message !== null && isText(message.role) && isText(message.content))

const isText = (value: unknown): value is string => typeof value === 'string'
