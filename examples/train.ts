/** Training without the command line: data, a configuration, a `Trainer`, and a loop of one's own around it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportModel, openDataset, tokenizerFileBytes } from '@parscale/core/node'
import { byteTokenizerFiles, createTokenizer } from '@parscale/core/tokenizer'
import { freshModel, modelParameters, parseRunConfig, recipes, Trainer } from '@parscale/core/training'
import { loadTextModel, onnxRuntime } from 'parscale'

const folder = await mkdtemp(join(tmpdir(), 'train-'))
const tokenizerFiles = byteTokenizerFiles(['<|begin|>', '<|end|>']) // a token per byte
const dataset = await openDataset(['LICENSE'], {
  cacheDirectory: folder,
  tokenizerFiles,
  separator: '\n\n', // paragraphs are the documents
  heldOutFraction: 0.1,
})

// A recipe gives the whole configuration; any value of it may be another one.
const recipe = recipes.pretrain({ data: ['LICENSE'], p: 2, steps: 60, learningRate: 3e-3 })
const shape = { ...recipe.shape!, hiddenSize: 64, intermediateSize: 128, numHiddenLayers: 2, numAttentionHeads: 2 }
const config = parseRunConfig({ ...recipe, shape, batch: { ...recipe.batch, sequences: 4, tokens: 64 } })

const runtime = onnxRuntime({ threads: 1 })
const trainer = await Trainer.create({
  runtime,
  config,
  backbone: freshModel(shape, createTokenizer(tokenizerFiles)),
  tied: shape.tieWordEmbeddings,
  frozen: () => {
    throw new Error('nothing is frozen')
  },
  stored: async () => undefined, // no model to start from: everything is drawn
  train: dataset.train,
  heldOut: dataset.heldOut,
})

const before = await trainer.evaluate()
while (!trainer.finished) {
  const { step, loss } = await trainer.step()
  if (step % 20 === 0) console.log('step', step, 'loss', loss.toFixed(1))
}
const after = await trainer.evaluate()
console.log('held-out loss', before.loss.toFixed(1), 'before,', after.loss.toFixed(1), 'after', trainer.position.tokens, 'tokens')

// The arrays that `save` gives are all that a run needs to go on: Trainer.create(inputs, saved).
const saved = await trainer.save()
const parameters = await modelParameters(runtime, trainer.plan, saved.parameters)
const files = new Map(tokenizerFileBytes(tokenizerFiles))
await exportModel(join(folder, 'model'), { config: trainer.plan.config, tied: shape.tieWordEmbeddings, parameters, files })
const text = await loadTextModel(join(folder, 'model'), { p: 2, threads: 1 })
console.log('the model has P =', text.model.availableP.join(', '))

await text.dispose()
await trainer.dispose()
await dataset.close()
await rm(folder, { recursive: true })
