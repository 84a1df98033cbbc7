/** The tokenizer and chat template in SmolLM2's GGUF file, against the reference and transformers; and very large texts. */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { parseGguf } from '../checkpoint/gguf/gguf.ts'
import { openFileSource } from '../node/disk/file-source.ts'
import { tokenizerFilesFromGguf } from './gguf/tokenizer.ts'
import { createChatTemplate } from './templates/chat-template.ts'
import { checksum, nastyTexts, readExpected, readFixture } from './testing/fixtures.ts'
import { createTokenizer } from './tokenizer.ts'
import type { ChatTemplate, Tokenizer } from './types.ts'

let tokenizer: Tokenizer
let chatTemplate: ChatTemplate
let template: string | undefined

beforeAll(async () => {
  const script = fileURLToPath(new URL('../../../../scripts/fetch-smollm2.mjs', import.meta.url))
  const path = execFileSync(process.execPath, [script], { encoding: 'utf8' }).trim()
  const source = await openFileSource(path)
  const found = tokenizerFilesFromGguf((await parseGguf(source)).metadata, path)!
  await source.close()
  template = found['chat_template.jinja']
  const files = {
    tokenizerJson: found['tokenizer.json'],
    tokenizerConfig: found['tokenizer_config.json'],
    chatTemplate: template,
  }
  tokenizer = createTokenizer(files)
  chatTemplate = createChatTemplate(files, tokenizer)!
})

it('encodes and decodes the nasty texts as the reference does', () => {
  const expected = readExpected('smollm2')
  for (const [text, { plain, special, decoded }] of Object.entries(expected.texts)) {
    expect(tokenizer.encode(nastyTexts[text]!), text).toEqual(plain)
    expect(tokenizer.encode(nastyTexts[text]!, { allowSpecial: true }), text).toEqual(special ?? plain)
    expect(tokenizer.decode(special ?? plain), text).toBe(decoded)
  }
  for (const { unit, times, ids, checksum: sum } of expected.long) {
    const encoded = tokenizer.encode(unit.repeat(times))
    expect([encoded.length, checksum(encoded)]).toEqual([ids, sum])
  }
})

it('has the template that the fixtures were rendered with', () => {
  const chat = readFixture('chat.json') as {
    templates: Record<string, string>
    conversations: Record<string, { messages: { role: string; content: string }[] }>
    cases: { template: string; conversation: string; text: string }[]
  }
  expect(template).toBe(chat.templates.smollm2)
  const expected = chat.cases.find((each) => each.template === 'smollm2' && each.conversation === 'plain')!
  const { messages } = chat.conversations.plain!
  expect(chatTemplate.render(messages, { addGenerationPrompt: true })).toBe(expected.text)
  expect(tokenizer.decode(chatTemplate.encode(messages, { addGenerationPrompt: true }))).toBe(expected.text)
})

it.each([
  ['a word of 200,000 letters', 'a'.repeat(200_000)],
  ['200,000 spaces', ' '.repeat(200_000)],
  ['a megabyte of prose', 'The quick brown fox, 123 times, jumps over it.\n'.repeat(22_000)],
  ['a megabyte without a space', Array.from({ length: 200_000 }, (_, i) => (i * 7919).toString(36)).join('')],
])('comes through %s', (_, text) => {
  expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
})
