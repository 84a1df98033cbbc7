/** P is chosen per call: one backbone, loaded once, with as many streams as each request asks for. */
import { loadTextModel } from 'parscale'

const text = await loadTextModel()
console.log('this model has P =', text.model.availableP.join(', '))

// Both requests step in one batch: one row for the first, eight for the second.
const [plain, eight] = await Promise.all([1, 8].map((p) => text.generate('The whale', { p, maxTokens: 4, temperature: 0 })))
console.log('P = 1 weights', plain!.tokens[0]!.streamWeights)
console.log('P = 8 weights', eight!.tokens[0]!.streamWeights.map((weight) => weight.toFixed(2)).join(' '))

await text.dispose()
