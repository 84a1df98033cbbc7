/** A conversation. Models bring their own chat template; the one that ships has none and never saw a conversation, so it is given one here. */
import { TextModel } from '@parscale/core/generation'
import { createChatTemplate } from '@parscale/core/tokenizer'
import { loadTextModel } from 'parscale'

const chatTemplate = `{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}`

const { model, tokenizer } = await loadTextModel()
const text = new TextModel(model, tokenizer, createChatTemplate({ tokenizerJson: undefined, chatTemplate }, tokenizer))

const chat = text.chat({ system: 'Be brief.' })
for (const message of ['Hello!', 'And now?']) {
  const cached = chat.cachedTokens
  let answer = ''
  for await (const { text } of chat.send(message, { maxTokens: 8, temperature: 0 })) answer += text
  console.log(`${message} ${JSON.stringify(answer)} (${cached} tokens were in the cache already)`)
}
console.log(chat.messages.map(({ role }) => role).join(' '))

await chat.close() // gives its rows of the cache back
await text.dispose()
