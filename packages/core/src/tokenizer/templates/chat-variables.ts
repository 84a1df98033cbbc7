/** What transformers does to messages before a template sees them (utils/chat_template_utils.py). */

/** Names a message's reasoning is passed under. The first is the one that templates read. */
const reasoningFields = ['reasoning_content', 'thinking', 'reasoning']

/** Fills `reasoning_content` from older names for it, and `thinking` for templates that read that. */
export function aliasReasoning(messages: readonly unknown[]): unknown[] {
  return messages.map((message) => {
    if (typeof message !== 'object' || message === null || Array.isArray(message)) return message
    const fields = message as Record<string, unknown>
    const name = reasoningFields.find(
      (field) => Object.hasOwn(fields, field) && fields[field] !== null && fields[field] !== undefined,
    )
    return name === undefined ? message : { thinking: fields[name], ...fields, reasoning_content: fields[name] }
  })
}
