/** The model of the moment as a folder that models are loaded from, without a card: for a look at it while training. */
import { rm } from 'node:fs/promises'
import { exportModel, exportStreamSet, tokenizerFileBytes } from '@parscale/core/node'
import { modelParameters, type TrainPlan } from '@parscale/core/training'
import type { RunInputs } from './run-inputs.ts'

type Parameters = ReadonlyMap<string, Float32Array>

/** Whether the backbone stays where it is: then only the streams are written. */
export const isFrozen = ({ config }: RunInputs): boolean => config.stages.at(-1)!.train === 'streams'

/** Writes the model, or the streams of a frozen one, in place of what may be there. */
export async function writePreview(inputs: RunInputs, plan: TrainPlan, trained: Parameters, target: string): Promise<void> {
  const { base, tied } = inputs
  const { config } = plan
  const parameters = await modelParameters(inputs.runtime, plan, trained)
  await rm(target, { recursive: true, force: true })
  if (base && isFrozen(inputs)) return await exportStreamSet(target, { config, parameters }, base)
  await exportModel(target, { config, tied, parameters, files: new Map(tokenizerFileBytes(inputs.tokenizerFiles)) })
}
