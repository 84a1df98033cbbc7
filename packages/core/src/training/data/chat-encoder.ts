/**
 * Conversations for supervised fine-tuning: token ids, and which of them the assistant says. Where a turn begins and ends is
 * found by encoding the conversation's beginnings, as a server would before and after the assistant's answer; so the model
 * learns to go on from exactly the ids that it will be given.
 */
import { unsupportedError } from '../../errors.ts'
import type { ChatMessage, ChatTemplate, Tokenizer } from '../../tokenizer/index.ts'
import type { ChatDocument, EncodedDocument } from './documents.ts'

/**
 * Encodes a conversation. The mask counts what the assistant answers and the token that ends its turn, nothing else. What it
 * says before anybody else answers nothing and is only read: templates cannot open such a turn.
 *
 * Some templates write earlier turns differently once the conversation goes on (Qwen3 drops their thoughts). Such a
 * conversation becomes several: for each turn of the assistant one that ends with it.
 *
 * @returns nothing for a conversation without an answer
 * @throws unsupported error for a template that cannot open the assistant's turn apart; whatever the template throws
 */
export function encodeChat(document: ChatDocument, template: ChatTemplate, tokenizer: Tokenizer): readonly EncodedDocument[] {
  const { messages, where } = document
  const ends = messages.flatMap(({ role }, i) => (role === 'assistant' && i > 0 ? [i + 1] : []))
  if (ends.length === 0) return []
  const turns = { template, tokenizer, where }
  const whole = encodeTurns(messages, ends, turns)
  return whole ? [whole] : ends.map((end) => encodeTurns(messages.slice(0, end), [end], turns)!)
}

interface Turns {
  readonly template: ChatTemplate
  readonly tokenizer: Tokenizer
  readonly where: string
}

/** Undefined where turns are not written alike in the end and before. `ends` counts the messages up to each answer. */
function encodeTurns(
  messages: readonly ChatMessage[],
  ends: readonly number[],
  { template, tokenizer, where }: Turns,
): EncodedDocument | undefined {
  const ids: number[] = []
  const counted: boolean[] = []
  /** Ids of the beginning that has been written, as the template gives them. */
  let written: readonly number[] = []

  function append(beginning: readonly number[], isAnswer: boolean): boolean {
    const more = continuation(written, beginning, tokenizer)
    if (!more) return false
    const last = isAnswer ? more.findLastIndex((id) => tokenizer.isSpecial(id)) : -1
    const answerEnd = isAnswer && last < 0 ? more.length : last + 1
    for (const [i, id] of more.entries()) {
      ids.push(id)
      counted.push(i < answerEnd)
    }
    written = beginning
    return true
  }

  for (const end of ends) {
    const opened = template.encode(messages.slice(0, end - 1), { addGenerationPrompt: true })
    if (!append(opened, false)) return undefined
    const closed = template.encode(messages.slice(0, end))
    const header = answerHeader(messages.slice(0, end), template)
    const headed = header === undefined ? undefined : appendText(opened, header, closed, tokenizer)
    if (!headed || !append(headed, false) || !append(closed, true)) {
      const what = 'the chat template does not open an answer (add_generation_prompt) as it writes it'
      throw unsupportedError(`${where}: ${what}, so the assistant's turns cannot be told apart; use another template`)
    }
  }
  // Whatever follows the last answer teaches nothing; it is only looked at for whether it changes what was before.
  const same = continuation(written, template.encode(messages), tokenizer) !== undefined
  return same ? { ids: Uint32Array.from(ids), counted: Uint8Array.from(counted, Number) } : undefined
}

/**
 * What a template writes between the opening of the last message and what that message says: nothing where
 * `add_generation_prompt` opens the turn; else the role's header, which is the template's and not the assistant's. It is
 * found by having the assistant say two other things. White space alone is no header: it is often one token with what follows.
 *
 * @returns undefined where it cannot be told
 */
function answerHeader(messages: readonly ChatMessage[], template: ChatTemplate): string | undefined {
  const before = messages.slice(0, -1)
  const opened = template.render(before, { addGenerationPrompt: true })
  if (opened !== template.render(before)) return ''
  const closed = template.render(messages)
  const last = messages.at(-1)!
  // Other fields of the message may keep its content from being written.
  for (const message of [last, { role: last.role, content: '' }]) {
    const one = template.render([...before, { ...message, content: 'a' }])
    const other = template.render([...before, { ...message, content: 'b' }])
    const start = commonPrefix(one, other)
    if (one === other || start < opened.length || !closed.startsWith(one.slice(0, start))) continue
    // A template that opens the next answer, asked or not, cannot be told from one that ends this one so.
    const isOpenAnyway = start === opened.length && commonSuffix(opened, closed).trim() !== ''
    const header = closed.slice(opened.length, start)
    return isOpenAnyway ? undefined : header.trim() === '' ? '' : header
  }
  return undefined
}

function commonPrefix(one: string, other: string): number {
  let length = 0
  while (length < one.length && one[length] === other[length]) length++
  return length
}

function commonSuffix(one: string, other: string): string {
  let length = 0
  while (length < Math.min(one.length, other.length) && one.at(-1 - length) === other.at(-1 - length)) length++
  return one.slice(one.length - length)
}

/** Ids of a beginning and of `text` behind it, as `longer` has them. Undefined where `longer` does not go on so. */
function appendText(
  beginning: readonly number[],
  text: string,
  longer: readonly number[],
  tokenizer: Tokenizer,
): readonly number[] | undefined {
  if (text === '') return beginning
  const more = continuation(beginning, longer, tokenizer)
  const decoder = tokenizer.streamDecoder()
  const ids: number[] = []
  let spelled = ''
  for (const id of more ?? []) {
    const next = spelled + decoder.push(id)
    // A token that reaches across the border is cut there.
    if (next.length > text.length) return next.startsWith(text) ? [...beginning, ...ids, ...encodeRest(spelled)] : undefined
    ids.push(id)
    spelled = next
    if (spelled === text) return [...beginning, ...ids]
  }
  return undefined

  function encodeRest(before: string): number[] {
    return tokenizer.encode(text.slice(before.length), { addSpecial: false })
  }
}

/**
 * Ids that lead from a beginning to a longer text. Merges may reach across the border (a line feed of the template and one
 * of the answer); then the text up to the next special token is encoded anew without them. Undefined where the longer text
 * does not begin with the shorter one.
 */
function continuation(
  beginning: readonly number[],
  longer: readonly number[],
  tokenizer: Tokenizer,
): readonly number[] | undefined {
  const differs = beginning.findIndex((id, i) => longer[i] !== id)
  if (differs < 0) return longer.slice(beginning.length)
  const nextSpecial = longer.findIndex((id, i) => i >= differs && tokenizer.isSpecial(id))
  const end = nextSpecial < 0 ? longer.length : nextSpecial
  const before = tokenizer.decode(beginning.slice(differs))
  const after = tokenizer.decode(longer.slice(differs, end))
  if (!after.startsWith(before)) return undefined
  return [...tokenizer.encode(after.slice(before.length), { addSpecial: false }), ...longer.slice(end)]
}
