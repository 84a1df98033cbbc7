/**
 * How a model writes reasoning and tool calls. Its chat template is asked: it renders a conversation with both, and what it puts around them is
 * what the model was trained to write.
 */
import type { TextModel, ToolForm } from '../../generation/index.ts'

export type { ToolForm }

export interface OutputForm {
  readonly tools: ToolForm | undefined
  readonly reasoning: { readonly open: string; readonly close: string } | undefined
  /** Special tokens that are part of these forms, so that the text must show them. */
  readonly shownTokenIds: readonly number[]
}

const call = { id: 'probe0001', type: 'function', function: { name: 'probe_call', arguments: { probe_key: 'probe_value' } } }
const tool = {
  type: 'function',
  function: {
    name: 'probe_tool',
    description: 'a tool',
    parameters: { type: 'object', properties: { probe_key: { type: 'string' } } },
  },
}
const question = { role: 'user', content: 'probe_question' }

/** Spellings of the forms that vocabularies may hold as special tokens. */
const marks = ['<tool_call>', '</tool_call>', '[TOOL_CALLS]', '[CALL_ID]', '[ARGS]', '<|python_tag|>', '[THINK]', '[/THINK]']

export function outputForm({ chatTemplate, tokenizer }: Pick<TextModel, 'chatTemplate' | 'tokenizer'>): OutputForm {
  const render = (answer: object, variables: Record<string, unknown>): string => {
    try {
      const turns = [question, { role: 'assistant', content: '', ...answer }]
      return chatTemplate?.render(turns, { variables }) ?? ''
    } catch {
      return '' // it takes no such turn
    }
  }
  const reasoning = reasoningOf(render({ content: 'probe_answer', reasoning_content: 'probe_reasoning' }, {}))
  // Some templates take reasoning out of earlier answers, and never write it.
  const named = chatTemplate?.source.includes('</think>') || tokenizer.idOf('<think>') !== undefined
  const found = reasoning ?? (named ? { open: '<think>', close: '</think>' } : undefined)
  const spellings = [...marks, ...(found ? [found.open, found.close] : [])]
  return {
    tools: toolForm(render({ tool_calls: [call] }, { tools: [tool] })),
    reasoning: found,
    shownTokenIds: spellings
      .map((mark) => tokenizer.idOf(mark))
      .filter((id): id is number => id !== undefined && tokenizer.isSpecial(id)),
  }
}

function toolForm(rendered: string): ToolForm | undefined {
  const at = rendered.indexOf('probe_call')
  // A template that does not show the tools has not taught the model to call them.
  if (at < 0 || !rendered.includes('probe_tool')) return undefined
  const before = rendered.slice(Math.max(0, at - 60), at)
  const after = rendered.slice(at, at + 60)
  if (/<tool_call>\s*\{\s*"name":\s*"$/.test(before)) return 'hermes'
  if (before.includes('[TOOL_CALLS]')) return /^probe_call(?:\[CALL_ID\]\w*)?\[ARGS\]/.test(after) ? 'mistral-args' : 'mistral'
  return /\{\s*(?:"type":\s*"function",\s*)?"name":\s*"$/.test(before) && after.includes('"parameters"') ? 'llama' : undefined
}

function reasoningOf(rendered: string): OutputForm['reasoning'] {
  const [, open, close] = /([<[][\w|]+[>\]])\s*probe_reasoning\s*([<[]\/[\w|]+[>\]])/.exec(rendered) ?? []
  return open === undefined ? undefined : { open, close: close! }
}
