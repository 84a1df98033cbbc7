/** npm's ai, 6 or 7, with @ai-sdk/openai-compatible against a server, in a process without our tools: prints what it got as JSON. */
import process from 'node:process'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { embed, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from 'ai'

const [baseURL, chat, tooled] = process.argv.slice(2)
const provider = createOpenAICompatible({ name: 'parscale', baseURL, includeUsage: true, supportsStructuredOutputs: true })
const asked = { model: provider(chat), prompt: 'What is the capital of France?', temperature: 0, maxOutputTokens: 16 }

const whole = await generateText(asked)
const stream = streamText(asked)
let streamed = ''
for await (const piece of stream.textStream) streamed += piece

const schema = jsonSchema({
  type: 'object',
  properties: { city: { enum: ['Paris', 'Rome'] } },
  required: ['city'],
  additionalProperties: false,
})
const { output } = await generateText({ ...asked, maxOutputTokens: 200, output: Output.object({ schema }) })
const given = []
const execute = async (input) => {
  given.push(input)
  return { sun: true }
}
const tools = { weather: tool({ description: 'The weather of a city', inputSchema: schema, execute }) }
const called = await generateText({
  ...{ ...asked, model: provider(tooled), maxOutputTokens: 200, tools, toolChoice: 'required' },
  stopWhen: stepCountIs(2), // the result goes back to the model once
})

// Beside tools, an answer is calls or an output: whichever the model takes, it fits.
const both = await generateText({
  ...{ ...asked, model: provider(tooled), maxOutputTokens: 200, tools: { weather: tool({ inputSchema: schema }) } },
  output: Output.object({ schema }),
})
const either = both.toolCalls.length > 0 ? both.toolCalls[0].input : both.output

const { embedding } = await embed({ model: provider.textEmbeddingModel?.(chat) ?? provider.embeddingModel(chat), value: 'Paris' })
process.stdout.write(
  `${JSON.stringify({
    text: whole.text,
    streamed,
    tokens: [whole.usage.outputTokens, (await stream.usage).outputTokens],
    reasons: [whole.finishReason, await stream.finishReason],
    output,
    given,
    either,
    steps: called.steps.map(({ finishReason }) => finishReason),
    embedding: embedding.length,
  })}\n`,
)
