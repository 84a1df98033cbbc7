/** npm's openai, 6 or 7, against a server: prints what it got as JSON. */
import process from 'node:process'
import OpenAI from 'openai'

const [baseURL, chat, tooled] = process.argv.slice(2)
const client = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 })
const messages = [{ role: 'user', content: 'What is the capital of France?' }]
const asked = { model: chat, messages, temperature: 0, max_tokens: 16 }
const out = {}

const whole = await client.chat.completions.create(asked)
out.content = whole.choices[0].message.content
out.streamed = ''
for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
  out.streamed += chunk.choices[0]?.delta.content ?? ''

const response = await client.responses.create({ model: chat, input: messages, temperature: 0, max_output_tokens: 16 })
out.response = response.output_text
const stream = client.responses.stream({ model: chat, input: messages, temperature: 0, max_output_tokens: 16 })
out.events = []
for await (const event of stream) out.events.push(event.type)
out.final = (await stream.finalResponse()).output_text

const schema = {
  type: 'object',
  properties: { city: { enum: ['Paris', 'Rome'] } },
  required: ['city'],
  additionalProperties: false,
}
const format = { name: 'city', schema, strict: true }
const structured = { model: chat, temperature: 0 }
out.structured = JSON.parse(
  (
    await client.chat.completions.create({
      ...structured,
      messages,
      response_format: { type: 'json_schema', json_schema: format },
    })
  ).choices[0].message.content,
)
out.formatted = JSON.parse(
  (await client.responses.create({ ...structured, input: messages, text: { format: { type: 'json_schema', ...format } } }))
    .output_text,
)

const about = { name: 'weather', description: 'The weather of a city', parameters: schema }
const withTools = {
  model: tooled,
  messages,
  temperature: 0,
  tools: [{ type: 'function', function: about }],
  tool_choice: 'required',
}
const called = await client.chat.completions.create({ ...withTools, parallel_tool_calls: false })
out.called = called.choices[0].message.tool_calls.map(({ function: { name, arguments: given } }) => [name, JSON.parse(given)])
out.reason = called.choices[0].finish_reason
const final = await client.chat.completions.stream({ ...withTools, parallel_tool_calls: false }).finalChatCompletion()
out.calledInStream = final.choices[0].message.tool_calls.map(({ function: { name, arguments: given } }) => [
  name,
  JSON.parse(given),
])

const embedded = await client.embeddings.create({ model: chat, input: ['Paris', 'Rome'] })
out.embeddings = embedded.data.map(({ embedding }) => embedding.length)
out.models = []
for await (const { id } of client.models.list()) out.models.push(id)
out.error = await client.chat.completions
  .create({ ...asked, messages: [{ role: 'user', content: 'word '.repeat(20000) }] })
  .catch(({ status, code }) => [status, code])
process.stdout.write(`${JSON.stringify(out)}\n`)
