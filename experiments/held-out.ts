/** Losses that no run has recorded: of the model that a run started from, and on other data than its own. */

import { readRun } from '@parscale/core/internal/node'
import {
  LossEvaluation,
  parseRunConfig,
  type RunConfig,
  sequenceLosses,
  stagePlan,
  type TrainPlan,
} from '@parscale/core/internal/training'
import type { TokenFile } from '@parscale/core/internal/training/data'
import { Tensor } from 'onnxruntime-common'
import { onnxRuntime } from '../packages/core/src/node/onnx-runtime.ts'
import { createIo } from '../packages/parscale/src/terminal/io.ts'
import { openRunInputs, type RunInputs } from '../packages/parscale/src/train/run-inputs.ts'
import type { Losses } from './compare.ts'

type Arrays = ReadonlyMap<string, Float32Array>

export const configOf = async (run: string): Promise<RunConfig> => parseRunConfig((await readRun(run)).config, run)

/** The starting model of a run, on the run's held-out data. */
export async function plainLosses(run: string): Promise<Losses> {
  return await withInputs(await configOf(run), (inputs) => lossesOf(inputs, plainPlan(inputs), new Map(), inputs.heldOut))
}

/** A run's last checkpoint, or the model it started from, on files of another kind. */
export async function otherLosses(run: string, file: string, which: 'trained' | 'plain'): Promise<Losses> {
  const config = await configOf(run)
  const { checkpoints } = await readRun(run)
  const parameters = which === 'plain' ? new Map() : (await checkpoints.latest((message) => console.error(message)))!.parameters
  const other = { ...config, data: { ...config.data, files: [file], heldOutFraction: 0 } }
  return await withInputs(other, (inputs) => {
    const plan = which === 'plain' ? plainPlan(inputs) : stagePlan(inputs, config.stages.at(-1)!)
    return lossesOf(inputs, plan, parameters, inputs.train)
  })
}

function plainPlan(inputs: RunInputs): TrainPlan {
  const { config } = inputs
  const plain = { ...config, streams: { ...config.streams, inputAtOne: false } }
  return stagePlan({ ...inputs, config: plain }, { ...config.stages[0]!, p: 1, train: 'streams' })
}

async function withInputs<T>(config: RunConfig, work: (inputs: RunInputs) => Promise<T>): Promise<T> {
  const inputs = await openRunInputs(createIo(), onnxRuntime(), config)
  try {
    return await work(inputs)
  } finally {
    await inputs.close()
  }
}

async function lossesOf(inputs: RunInputs, plan: TrainPlan, parameters: Arrays, file: TokenFile): Promise<Losses> {
  const evaluation = await LossEvaluation.create(inputs.runtime, plan)
  try {
    const feeds = plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', parameters.get(name)!, shape)] as const)
    const { packing } = inputs.config.data
    const { loss, tokens, sequences } = await sequenceLosses(evaluation, Object.fromEntries(feeds), file, plan.shape, { packing })
    return { loss, tokens, nats: sequences.map(({ nats }) => nats), counts: sequences.map((each) => each.tokens) }
  } finally {
    await evaluation.dispose()
  }
}
