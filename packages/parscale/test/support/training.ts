/** The training numbers of the goldens: formats and tolerances in fixtures/goldens/README.md. */
import { readFileSync } from 'node:fs'
import { parseSafetensors, readF32, type StoredTensor } from '@parscale/core/checkpoint'
import { modelFiles } from '@parscale/core/generation'
import { backboneParameters, type ModelConfig, type Parameter, streamParameters } from '@parscale/core/model'
import { openFileSource, openModelFolder } from '@parscale/core/node'
import type { AdamWOptions, BatchShape, TrainPlan } from '../../../core/src/training/index.ts'
import { fixturesFolder } from './fixtures.ts'

/** P = 1, 2 and 4; the first two with tied embeddings. */
export const trainingGoldens = ['qwen2-p1', 'parscale-p2', 'parscale-p4'] as const

interface GoldenStep {
  readonly loss: number
  readonly grad_norm: number
  readonly grad_scale: number
}

export interface TrainingGolden {
  readonly config: ModelConfig
  readonly parameters: readonly Parameter[]
  readonly optimizer: AdamWOptions
  readonly learningRate: number
  readonly loss: { readonly ids: number[]; readonly value: number; readonly grad_norm: number }
  readonly train: { batches: number[][][]; steps: GoldenStep[]; loss_after: { ids: number[]; value: number }; decay: string[] }
  /** Arrays by tensor name of model, grads and after3. */
  readonly model: ReadonlyMap<string, Float32Array>
  readonly grads: ReadonlyMap<string, Float32Array>
  readonly after3: ReadonlyMap<string, Float32Array>
  /** A plan over all parameters, or over those that `trained` picks. */
  plan(shape: BatchShape, trained?: (parameter: Parameter) => boolean): TrainPlan
}

export async function readTrainingGolden(name: string): Promise<TrainingGolden> {
  const folder = `${fixturesFolder}goldens/${name}`
  const open = await openModelFolder(folder)
  const files = await modelFiles(open)
  await open.close()
  const { config, tied } = files
  const parameters = [...backboneParameters(config, tied), ...streamParameters(config)]
  const { loss, train } = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'))
  const { lr, betas, eps, weight_decay, max_grad_norm } = train.optimizer
  const optimizer = { betas, epsilon: eps, weightDecay: weight_decay, maxGradNorm: max_grad_norm }
  return {
    config,
    parameters,
    optimizer,
    learningRate: lr,
    loss,
    train,
    model: await readArrays(`${folder}/model.safetensors`),
    grads: await readArrays(`${folder}/grads.safetensors`),
    after3: await readArrays(`${folder}/after3.safetensors`),
    plan: (shape, trained = () => true) => ({
      config,
      tied,
      trainable: parameters.filter(trained),
      frozen: files.findWeight,
      shape,
      optimizer,
    }),
  }
}

async function readArrays(path: string): Promise<Map<string, Float32Array>> {
  const source = await openFileSource(path)
  const arrays = new Map<string, Float32Array>()
  for (const tensor of (await parseSafetensors(source)).tensors) arrays.set(tensor.name, await readF32(tensor as StoredTensor))
  await source.close()
  return arrays
}
