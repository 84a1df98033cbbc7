/** Text as it comes. Without a name, `loadTextModel` loads the small model that ships. */
import { loadTextModel } from 'parscale'

const text = await loadTextModel()
const stream = text.stream('My fellow citizens', { p: 8, maxTokens: 12, temperature: 0 })
for await (const chunk of stream) {
  // A chunk is whole characters; `tokens` are those that were drawn since the last one.
  console.log(JSON.stringify(chunk.text), chunk.tokens.map((token) => token.id).join(' '))
}
await text.dispose() // frees the engine's memory
