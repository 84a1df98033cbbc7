/** Published chat templates, asked how their models write. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { byteTokenizerFiles } from '../../tokenizer/byte-tokenizer.ts'
import { createChatTemplate, createTokenizer } from '../../tokenizer/index.ts'
import { outputForm } from './form.ts'

const read = (path: string) => JSON.parse(readFileSync(new URL(`../../../../../fixtures/${path}`, import.meta.url), 'utf8'))
const { templates } = read('tokenizer/chat.json') as { templates: Record<string, string> }
const { renderings } = read('templates/renderings.json') as { renderings: { name: string; template: string }[] }
const published = (name: string) => renderings.find((one) => one.name.includes(name))!.template

/** As Mistral's templates of 2025 write calls, and no more of them. */
const newerMistral = (id: string) =>
  `{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% else %}{{ m.content }}{% for c in m.tool_calls %}[TOOL_CALLS]{{ c.function.name }}${id}[ARGS]{{ c.function.arguments | tojson }}{% endfor %}</s>{% endif %}{% endfor %}`

/** As Llama 3.1's template writes tools and calls, and no more of it. */
const llamaWithTools =
  '{% if tools %}{% for t in tools %}{{ t | tojson(indent=4) }}{% endfor %}{% endif %}{% for m in messages %}{% if m.tool_calls %}{{ \'{"name": "\' + m.tool_calls[0].function.name + \'", "parameters": \' }}{{ m.tool_calls[0].function.arguments | tojson }}{{ "}" }}{% else %}{{ m.content }}{% endif %}<|eot_id|>{% endfor %}'

const cases: [string, string, string | undefined, string | undefined][] = [
  ['Qwen 2.5', published('qwen2_5.jinja'), 'hermes', undefined],
  ['Qwen with tools', templates['qwen-tools']!, 'hermes', undefined],
  ['Qwen that thinks', templates['qwen-thinking']!, undefined, '<think>'],
  ['Mistral', published('tool_chat_template_mistral'), 'mistral', undefined],
  ['newer Mistral', newerMistral(''), 'mistral-args', undefined],
  ['newer Mistral with ids', newerMistral('[CALL_ID]{{ c.id }}'), 'mistral-args', undefined],
  ['SmolLM2', templates.smollm2!, undefined, undefined],
  ['Llama 3', templates.llama3!, undefined, undefined],
  ['Llama 3.1', llamaWithTools, 'llama', undefined],
]

it.each(cases)('%s', (_, chatTemplate, tools, open) => {
  const files = { ...byteTokenizerFiles(['<s>', '</s>']), chatTemplate }
  const tokenizer = createTokenizer(files)
  const form = outputForm({ tokenizer, chatTemplate: createChatTemplate(files, tokenizer) })
  expect(form.tools).toBe(tools)
  expect(form.reasoning?.open).toBe(open)
})
