/** A model in a file of several megabytes, for tests of downloads: random weights, and the tokenizer of the model that ships. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ModelShape } from '@parscale/core/internal/cost'
import { writeSyntheticModel } from '../../packages/parscale/src/bench/synthetic-model.ts'
import { root } from './markdown.ts'

const shape: ModelShape = {
  ...{ vocabSize: 1024, hiddenSize: 256, intermediateSize: 384, numHiddenLayers: 4, numAttentionHeads: 4, numKeyValueHeads: 1 },
  ...{
    headDim: 64,
    attentionBias: { qkv: true, o: false },
    mlpBias: false,
    qkNorm: false,
    tiedEmbeddings: true,
    prefixTokens: 0,
  },
}

/** @param folder must not exist */
export async function writeLargeModel(folder: string): Promise<void> {
  await writeSyntheticModel(folder, { shape, bits: 32, streams: [] }, {})
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    copyFileSync(join(root, 'packages/parscale/models/small', name), join(folder, name))
  }
}
