import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type ChatMessage,
  createChatTemplate,
  createTokenizer,
  type Tokenizer,
  type TokenizerFiles,
} from '../../tokenizer/index.ts'
import { readFixture } from '../../tokenizer/testing/fixtures.ts'
import { trainBpe } from '../../tokenizer/train-bpe/train-bpe.ts'
import { encodeChat } from './chat-encoder.ts'
import type { EncodedDocument } from './documents.ts'

const specialTokens = ['<|endoftext|>', '<|im_start|>', '<|im_end|>']
const { templates } = readFixture('chat.json') as { templates: Record<string, string> }

/** Writes earlier answers without their thoughts, as Qwen3's does. */
const forgetful = `{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and not loop.last %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`

let files: TokenizerFiles
let tokenizer: Tokenizer

beforeAll(async () => {
  // Merges of line feeds, so that some reach across the border between template and answer.
  const text = 'user assistant\n system\n\nThe answer is\n\n\n forty-two, of course.\n\n'
  files = await trainBpe([text.repeat(3)], { vocabSize: 340, specialTokens, preTokenizer: 'qwen2' })
  tokenizer = createTokenizer(files)
})

function encode(template: string, messages: readonly ChatMessage[]): readonly EncodedDocument[] {
  const chatTemplate = createChatTemplate({ ...files, chatTemplate: template }, tokenizer)!
  return encodeChat({ messages, where: 'chat' }, chatTemplate, tokenizer)
}

/** Texts of the runs of tokens that count. */
function countedTexts({ ids, counted }: EncodedDocument): string[] {
  const texts: string[] = []
  const run: number[] = []
  for (const [i, id] of [...ids, -1].entries()) {
    if (counted![i]) run.push(id)
    else if (run.length > 0) texts.push(tokenizer.decode(run.splice(0)))
  }
  return texts
}

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc
    .array(fc.constantFrom('\n', ' ', 'The', '<|im_end|>', '<|im_start|>', '?', 'é'), { maxLength: 6 })
    .map((parts) => parts.join('')),
)
const role = fc.constantFrom('user', 'assistant', 'system')
const conversation = fc.array(fc.record({ role, content: text }), { minLength: 1, maxLength: 6 })

describe('a template that writes turns alike everywhere', () => {
  it('counts exactly what the assistant says and the end of its turn', () => {
    fc.assert(
      fc.property(conversation, (messages) => {
        const answers = messages.filter((message, i) => message.role === 'assistant' && i > 0)
        const documents = encode(templates.smollm2!, messages)
        expect(documents).toHaveLength(answers.length > 0 ? 1 : 0)
        expect(documents.flatMap(countedTexts)).toEqual(answers.map(({ content }) => `${content}<|im_end|>`))
      }),
      { numRuns: 300 },
    )
  })

  it('writes the conversation as the template does, up to the last answer', () => {
    fc.assert(
      fc.property(conversation, (messages) => {
        const last = messages.findLastIndex((message) => message.role === 'assistant')
        fc.pre(last > 0)
        const chatTemplate = createChatTemplate({ ...files, chatTemplate: templates.smollm2! }, tokenizer)!
        const [document] = encode(templates.smollm2!, messages)
        expect(tokenizer.decode([...document!.ids])).toBe(chatTemplate.render(messages.slice(0, last + 1)))
      }),
      { numRuns: 200 },
    )
  })

  it('lets an answer begin behind exactly the ids that a server would send', () => {
    const messages = [
      { role: 'user', content: 'Well?' },
      { role: 'assistant', content: '\n\nThe answer' },
    ]
    const chatTemplate = createChatTemplate({ ...files, chatTemplate: templates.smollm2! }, tokenizer)!
    const prompt = chatTemplate.encode(messages.slice(0, 1), { addGenerationPrompt: true })
    // The tokenizer would merge the template's line feed with the answer's.
    expect(chatTemplate.encode(messages).slice(0, prompt.length)).not.toEqual(prompt)
    const [document] = encode(templates.smollm2!, messages)
    expect([...document!.ids.subarray(0, prompt.length)]).toEqual(prompt)
    expect(document!.counted!.indexOf(1)).toBe(prompt.length)
  })
})

describe('a template that does not open an answer apart', () => {
  it('counts what the assistant says and its end, not the header', () => {
    const template = '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}'
    fc.assert(
      fc.property(conversation, (messages) => {
        const answers = messages.filter((message, i) => message.role === 'assistant' && i > 0)
        expect(encode(template, messages).flatMap(countedTexts)).toEqual(answers.map(({ content }) => `${content}<|im_end|>`))
      }),
      { numRuns: 200 },
    )
  })

  it.each([
    ['<|im_start|>assistant ', 'The answer'],
    ['assistant: ', 'forty-two'],
    ['[A]', '?'],
  ])('does not count %j', (header, content) => {
    const template = `{% for m in messages %}{% if m.role == 'assistant' %}${header}{% endif %}{{ m.content }}<|im_end|>{% endfor %}`
    const documents = encode(template, [
      { role: 'user', content: 'Well' },
      { role: 'assistant', content },
    ])
    expect(documents.flatMap(countedTexts)).toEqual([`${content}<|im_end|>`])
  })

  it('opens it in some turns only', () => {
    const template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt and messages[-1].role == 'user' %}<|im_start|>assistant\n{% endif %}"
    const messages = ['user', 'assistant', 'assistant', 'system', 'assistant'].map((role, i) => ({ role, content: `The ${i}` }))
    expect(encode(template, messages).flatMap(countedTexts)).toEqual(['The 1<|im_end|>', 'The 2<|im_end|>', 'The 4<|im_end|>'])
  })

  it('counts calls of tools', () => {
    const template =
      '{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content %}{{ m.content }}{% endif %}{% for c in m.tool_calls %}call {{ c.name }}{% endfor %}<|im_end|>\n{% endfor %}'
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: '', tool_calls: [{ name: 'f' }] },
    ]
    expect(encode(template, messages).flatMap(countedTexts)).toEqual(['call f<|im_end|>'])
  })

  it('is refused where the next answer is opened, asked or not', () => {
    const template = '{% for m in messages %}{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n'
    const messages = [
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
    ]
    expect(() => encode(template, messages)).toThrow("the assistant's turns cannot be told apart")
  })
})

it('takes a conversation apart where the template changes what was before', () => {
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: '<think>hm</think>b' },
    { role: 'user', content: 'c' },
    { role: 'assistant', content: '<think>so</think>d' },
  ]
  const documents = encode(forgetful, messages)
  expect(documents.map(countedTexts)).toEqual([['<think>hm</think>b<|im_end|>'], ['<think>so</think>d<|im_end|>']])
  const unchanged = messages.map(({ role, content }) => ({ role, content: content.replace(/.*>/, '') }))
  expect(encode(forgetful, unchanged)).toHaveLength(1)
})

it('refuses a template that does not open an answer', () => {
  const closed =
    '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}Answer:{% endif %}'
  const messages = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b' },
  ]
  expect(() => encode(closed, messages)).toThrow("the assistant's turns cannot be told apart")
})
