/** Whole answers: sampling with a seed, two prompts computed together, beam search. */
import { loadTextModel } from 'parscale'

const text = await loadTextModel(undefined, { threads: 2 })

const options = { maxTokens: 8, temperature: 0.8, topP: 0.95, seed: 7, stop: ['\n\n'] }
const { tokens, promptTokens, finishReason } = await text.generate('The whale', options)
console.log(promptTokens, 'prompt tokens,', tokens.length, 'new ones, ended by', finishReason)

const both = await text.generateBatch(['The whale', 'The Senate'], options)
console.log(
  'the same alone and in a batch:',
  both[0]!.tokens.every(({ id }, i) => id === tokens[i]!.id),
)

const beams = await text.beamSearch('The whale', { beams: 3, maxTokens: 8 })
console.log('beams:', beams.map(({ score }) => score.toFixed(2)).join(' '))

await text.dispose()
