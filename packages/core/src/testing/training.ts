/** The training numbers of the goldens: formats and tolerances in fixtures/goldens/README.md. */
import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import { parseSafetensors, readF32, type StoredTensor } from '../checkpoint/index.ts'
import { modelFiles } from '../generation/index.ts'
import { backboneParameters, type ModelConfig, type Parameter, streamParameters } from '../model/index.ts'
import { openFileSource, openModelFolder } from '../node/index.ts'
import type { AdamWOptions, BatchShape, TrainPlan } from '../training/index.ts'
import { fixturesFolder } from './fixtures.ts'

/** P = 1, 2 and 4; the first two with tied embeddings. */
export const trainingGoldens = ['qwen2-p1', 'parscale-p2', 'parscale-p4'] as const

const adamW: AdamWOptions = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.1, maxGradNorm: 1 }

interface GoldenStep {
  readonly loss: number
  readonly grad_norm: number
  readonly grad_scale: number
}

export interface TrainingModel {
  readonly config: ModelConfig
  /** Arrays by tensor name, widened to float32. */
  readonly model: ReadonlyMap<string, Float32Array>
  /** A plan over all parameters, or over those that `trained` picks. */
  plan(shape: BatchShape, trained?: (parameter: Parameter) => boolean): TrainPlan
}

export interface TrainingGolden extends TrainingModel {
  readonly learningRate: number
  readonly loss: { readonly ids: number[]; readonly value: number; readonly grad_norm: number }
  readonly train: { batches: number[][][]; steps: GoldenStep[]; loss_after: { ids: number[]; value: number }; decay: string[] }
  /** Arrays by tensor name of grads and after3. */
  readonly grads: ReadonlyMap<string, Float32Array>
  readonly after3: ReadonlyMap<string, Float32Array>
}

/** Any of the goldens, with the optimiser that all training numbers were made with. */
export async function readTrainingModel(name: string): Promise<TrainingModel> {
  const folder = `${fixturesFolder}goldens/${name}`
  const open = await openModelFolder(folder)
  const { config, tied, findWeight } = await modelFiles(open)
  await open.close()
  const parameters = [...backboneParameters(config, tied), ...streamParameters(config)]
  return {
    config,
    model: await readArrays(`${folder}/model.safetensors`),
    plan: (shape, trained = () => true) => ({
      config,
      tied,
      trainable: parameters.filter(trained),
      frozen: findWeight,
      shape,
      optimizer: adamW,
    }),
  }
}

export async function readTrainingGolden(name: string): Promise<TrainingGolden> {
  const folder = `${fixturesFolder}goldens/${name}`
  const { loss, train } = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'))
  const { lr, betas, eps, weight_decay, max_grad_norm } = train.optimizer
  expect({ betas, epsilon: eps, weightDecay: weight_decay, maxGradNorm: max_grad_norm }).toEqual(adamW)
  return {
    ...(await readTrainingModel(name)),
    learningRate: lr,
    loss,
    train,
    grads: await readArrays(`${folder}/grads.safetensors`),
    after3: await readArrays(`${folder}/after3.safetensors`),
  }
}

async function readArrays(path: string): Promise<Map<string, Float32Array>> {
  const source = await openFileSource(path)
  const arrays = new Map<string, Float32Array>()
  for (const tensor of (await parseSafetensors(source)).tensors) arrays.set(tensor.name, await readF32(tensor as StoredTensor))
  await source.close()
  return arrays
}
