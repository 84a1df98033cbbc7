/** Prompts by a model's own chat template, as transformers' `apply_chat_template` writes them. */
import { checkpointError, isParscaleError } from '@parscale/core/internal'
import type { TextModel } from '@parscale/core/internal/generation'
import type { ChatMessage } from '@parscale/core/internal/tokenizer'

/** @throws checkpoint error for a model without a template */
export function chatWriter({ chatTemplate }: TextModel): (messages: readonly ChatMessage[], open: boolean) => string {
  if (!chatTemplate)
    throw checkpointError('--apply-chat-template: this model has no chat template (chat_template.jinja or tokenizer_config.json)')
  return (messages, open) => {
    const write = (list: readonly ChatMessage[]) => chatTemplate.render(list, { addGenerationPrompt: !open })
    let text: string
    try {
      text = write(messages)
    } catch (error) {
      // Some templates refuse a system prompt: the harness then leaves it out.
      if (!isParscaleError(error) || messages[0]?.role !== 'system') throw error
      text = write(messages.slice(1))
    }
    return open ? continued(text, messages.at(-1)!.content) : text
  }
}

/** Up to the end of the last message's text: transformers' `continue_final_message`. */
function continued(text: string, last: string): string {
  const at = text.lastIndexOf(last.trim())
  if (at < 0) throw checkpointError('the chat template leaves the beginning of the answer (gen_prefix) out')
  const whole = last.trimStart()
  return text.slice(0, at + (text.startsWith(whole, at) ? whole : last.trim()).length)
}
