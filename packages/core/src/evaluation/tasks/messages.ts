/** A prompt in turns, which is written as plain text or by a chat template (lm_eval.api.utils). */
import type { ChatMessage } from '../../tokenizer/index.ts'
import { isSpace } from './python/text.ts'

export interface Turn {
  readonly role: 'system' | 'user' | 'assistant'
  readonly content: string
  /** What follows the turn where it is written as plain text. */
  readonly delimiter: string
}

export const turn = (role: Turn['role'], content: string, delimiter = ''): Turn => ({ role, content, delimiter })

const endsInSpace = (text: string): boolean => isSpace(text.at(-1))

/** Both texts, with the delimiter where neither has white space between them. */
export function join(before: string, after: string, delimiter: string): string {
  if (before === '' || after === '') return before + after
  return needsDelimiter(before, after) ? before + delimiter + after : before + after
}

export const needsDelimiter = (before: string, after: string): boolean =>
  before !== '' && !(endsInSpace(before) || isSpace(after[0]))

export const plainText = (turns: readonly Turn[]): string => turns.map(({ content, delimiter }) => content + delimiter).join('')

const asMessage = ({ role, content }: Turn): ChatMessage => ({ role, content })

/** Each turn a message. */
export const asConversation = (turns: readonly Turn[]): ChatMessage[] => turns.map(asMessage)

/** All turns in one message of the user's, but for a system prompt before and the beginning of an answer behind. */
export function asOneMessage(turns: readonly Turn[]): ChatMessage[] {
  const system = turns[0]?.role === 'system' ? [turns[0]] : []
  const rest = turns.slice(system.length)
  const begun = rest.at(-1)?.role === 'assistant' ? [rest.at(-1)!] : []
  const asked = rest.slice(0, rest.length - begun.length)
  const content = plainText([...asked.slice(0, -1), ...asked.slice(-1).map((last) => ({ ...last, delimiter: '' }))])
  return [...system.map(asMessage), { role: 'user', content }, ...begun.map(asMessage)]
}
