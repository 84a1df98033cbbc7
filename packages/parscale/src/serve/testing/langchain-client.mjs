/** LangChain.js against a server: prints what it got as JSON. */
import process from 'node:process'
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai'

const [baseURL, chat, tooled] = process.argv.slice(2)
const options = { apiKey: 'none', maxRetries: 0, configuration: { baseURL } }
const asked = { ...options, model: chat, temperature: 0 }
const question = 'What is the capital of France?'
const schema = {
  title: 'city',
  type: 'object',
  properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
  required: ['city'],
  additionalProperties: false,
}

const model = new ChatOpenAI({ ...asked, maxTokens: 16 })
const whole = await model.invoke(question)
let streamed = ''
for await (const chunk of await model.stream(question)) streamed += chunk.text
const tool = { type: 'function', function: { name: 'weather', description: 'The weather of a city', parameters: schema } }
const called = await new ChatOpenAI({ ...asked, model: tooled }).bindTools([tool], { tool_choice: 'required' }).invoke(question)
const structured = await new ChatOpenAI(asked).withStructuredOutput(schema, { method: 'jsonSchema' }).invoke(question)
const embedding = await new OpenAIEmbeddings({ ...options, model: chat }).embedQuery('Paris')
process.stdout.write(
  `${JSON.stringify({
    ...{ content: whole.text, tokens: whole.usage_metadata.output_tokens, streamed, structured },
    called: called.tool_calls.map(({ name, args }) => [name, args]),
    embedding: embedding.length,
  })}\n`,
)
