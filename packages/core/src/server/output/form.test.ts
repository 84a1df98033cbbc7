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

const cases: [string, string, string | undefined, string | undefined][] = [
  ['Qwen 2.5', published('qwen2_5.jinja'), 'hermes', undefined],
  ['Qwen with tools', templates['qwen-tools']!, 'hermes', undefined],
  ['Qwen that thinks', templates['qwen-thinking']!, undefined, '<think>'],
  ['Mistral', published('tool_chat_template_mistral'), 'mistral', undefined],
  ['SmolLM2', templates.smollm2!, undefined, undefined],
  ['Llama 3', templates.llama3!, undefined, undefined],
]

it.each(cases)('%s', (_, chatTemplate, tools, open) => {
  const files = { ...byteTokenizerFiles(['<s>', '</s>']), chatTemplate }
  const tokenizer = createTokenizer(files)
  const form = outputForm({ tokenizer, chatTemplate: createChatTemplate(files, tokenizer) })
  expect(form.tools).toBe(tools)
  expect(form.reasoning?.open).toBe(open)
})
