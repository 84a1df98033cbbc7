/** A model from the hub into the Hugging Face cache. Offline here, so that it fails: errors tell their kind and the facts. */
import { ParscaleError, publishedModels, pullModel } from 'parscale'

const chat = publishedModels.filter(({ p, purpose }) => p === 8 && purpose === 'chat')
console.log(chat.map(({ name }) => name))

try {
  const { folder } = await pullModel(chat[0]!.name, {
    offline: true, // leave it out to download; a pull that was cut short is resumed
    cacheDirectory: 'no-such-cache', // default: as HF_HUB_CACHE and HF_HOME say
    onProgress: ({ file, doneBytes, sizeBytes }) => console.log(file, doneBytes, 'of', sizeBytes),
  })
  console.log(folder) // loadTextModel takes it
} catch (error) {
  if (!(error instanceof ParscaleError)) throw error
  console.log(error.kind, error.facts.found)
}
