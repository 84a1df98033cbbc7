/** SmolLM2 behind a server, once more with a template that has tools: what clients of others are asked to talk with. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createChatTemplate } from '@parscale/core/internal/tokenizer'
import { TextModel } from '../../../../core/src/generation/index.ts'
import { loadTextModel } from '../../load/load.ts'
import { listening } from './listening.ts'

const root = new URL('../../../../../', import.meta.url)
export const smollm2 = fileURLToPath(new URL('.cache/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf', root))

/** What a model answers by our own library. */
export async function answerOf(text: TextModel, question: string, maxTokens: number): Promise<string> {
  const turn = text.chat().send(question, { temperature: 0, maxTokens })
  let next = await turn.next()
  while (!next.done) next = await turn.next()
  return next.value.text
}

function withTools({ model, tokenizer }: TextModel): TextModel {
  const { renderings } = JSON.parse(readFileSync(new URL('fixtures/templates/renderings.json', root), 'utf8')) as {
    renderings: { name: string; template: string }[]
  }
  const chatTemplate = renderings.find(({ name }) => name.includes('qwen2_5.jinja'))!.template
  return new TextModel(model, tokenizer, createChatTemplate({ tokenizerJson: undefined, chatTemplate }, tokenizer))
}

/** `args` are what clients take: where the server is, a model that chats, one that calls tools. `answer` has 16 tokens. */
export async function serveSmolLM2() {
  const smol = await loadTextModel(smollm2, { bits: 8, scheduling: { keptBytes: 64e6, promptTokensBeside: 32 } })
  const answer = await answerOf(smol, 'What is the capital of France?', 16)
  const server = await listening({ smol, tooled: withTools(smol) })
  return {
    answer,
    args: [server.baseURL, 'smol', 'tooled'],
    async close() {
      await server.stop()
      await smol.dispose()
    },
  }
}
