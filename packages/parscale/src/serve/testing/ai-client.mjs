/** npm's ai with @ai-sdk/openai-compatible against a server, in a process without our tools: prints what it got as JSON. */
import process from 'node:process'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embed, generateText, streamText } from 'ai'

const [baseURL, name] = process.argv.slice(2)
const provider = createOpenAICompatible({ name: 'parscale', baseURL, includeUsage: true })
const asked = { model: provider(name), prompt: 'What is the capital of France?', temperature: 0, maxOutputTokens: 16 }

const whole = await generateText(asked)
const stream = streamText(asked)
let streamed = ''
for await (const piece of stream.textStream) streamed += piece
const { embedding } = await embed({ model: provider.textEmbeddingModel(name), value: 'Paris' })
process.stdout.write(
  `${JSON.stringify({
    text: whole.text,
    streamed,
    tokens: [whole.usage.outputTokens, (await stream.usage).outputTokens],
    reasons: [whole.finishReason, await stream.finishReason],
    embedding: embedding.length,
  })}\n`,
)
