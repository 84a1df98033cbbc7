/**
 * Tokens that end a text or a turn. Many files name only one of them by a key, so that llama.cpp finds the others by their
 * text (src/llama-vocab.cpp, `special_eog_ids`): a model's answer would run on into the next turn otherwise.
 */
import type { GgufMetadata } from './gguf.ts'

const keys = ['eos', 'eot', 'eom'] as const

const texts: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|return|>',
  '<|call|>',
  '<|flush|>',
  '<|calls|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '</s>',
  '<|eom_id|>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<|end_of_text|>',
  '<end_of_utterance>',
  '<eos>',
  '<turn|>',
  '<|tool_response>',
  '<｜end▁of▁sentence｜>',
  '[e~[',
])

/** Ends that only stand inside of an answer in models that have these other ends. */
const inside: readonly { readonly end: string; readonly where: readonly string[] }[] = [
  { end: '<|end|>', where: ['<|return|>', '<|call|>'] },
  { end: '<|end|>', where: ['<|flush|>', '<|call|>'] },
  { end: '<|end|>', where: ['<|flush|>', '<|calls|>'] },
  { end: '<|end|>', where: ['<|return|>', '<|calls|>'] },
  { end: '</s>', where: ['<|tool_response>'] },
]

/** Ids of all of them: those that keys name first, in the order of `keys`. */
export function endTokenIds(metadata: GgufMetadata): number[] {
  const named = keys.flatMap((key) => {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`)
    return typeof id === 'number' ? [id] : []
  })
  const tokens = metadata.get('tokenizer.ggml.tokens')
  const found = new Map<string, number>()
  if (Array.isArray(tokens)) {
    for (const [id, text] of tokens.entries()) if (typeof text === 'string' && texts.has(text)) found.set(text, id)
  }
  const gone = inside.filter(({ where }) => where.every((text) => found.has(text))).map(({ end }) => found.get(end))
  return [...new Set([...named, ...found.values()])].filter((id) => !gone.includes(id))
}
