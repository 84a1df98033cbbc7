/** What is said of a text that has more tokens than the model takes. Nothing is ever cut off to make it fit. */
import { type ParscaleError, usageError } from '../errors.ts'

/** How a text is called, and what its writer can do. */
export interface Overlong {
  readonly what: string
  readonly advice: string
}

export const overlongPrompt: Overlong = { what: 'the prompt', advice: 'shorten the prompt' }

export const overlongConversation: Overlong = {
  what: 'the conversation',
  advice: 'shorten the message or begin a new conversation (in `parscale chat`: /reset)',
}

/** @param tokens a number, or what is known of it */
export function overlongError(
  { what, advice }: Overlong,
  tokens: number | string,
  context: number,
  { size = '', why = '' } = {},
): ParscaleError {
  return usageError(`${what}${size} has ${tokens} tokens${why}, the model's context is ${context}; ${advice}`, {
    expected: context,
    ...(typeof tokens === 'number' && { found: tokens }),
  })
}
