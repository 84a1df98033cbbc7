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
    if (!append(template.encode(messages.slice(0, end)), true)) {
      const what = 'the chat template does not open an answer (add_generation_prompt) as it writes it'
      throw unsupportedError(`${where}: ${what}, so the assistant's turns cannot be told apart; use another template`)
    }
  }
  // Whatever follows the last answer teaches nothing; it is only looked at for whether it changes what was before.
  const same = continuation(written, template.encode(messages), tokenizer) !== undefined
  return same ? { ids: Uint32Array.from(ids), counted: Uint8Array.from(counted, Number) } : undefined
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
