/** Losses that no run has recorded: of the model that runs started from, and of runs on a text of another kind. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { readRun } from '@parscale/core/node'
import {
  LossEvaluation,
  parseRunConfig,
  type RunConfig,
  sequenceLosses,
  stagePlan,
  type TrainPlan,
} from '@parscale/core/training'
import type { TokenFile } from '@parscale/core/training/data'
import { Tensor } from 'onnxruntime-common'
import { createIo } from '../packages/parscale/src/io.ts'
import { onnxRuntime } from '../packages/parscale/src/onnx-runtime.ts'
import { openRunInputs, type RunInputs } from '../packages/parscale/src/train/run-inputs.ts'
import { type Difference, type Losses, pairedDifference } from './compare.ts'
import type { Experiment, Run } from './experiments.ts'

type Arrays = ReadonlyMap<string, Float32Array>
type FinishedRun = Run & { readonly folder: string }

const plainVariant = 'the model as it is'

/** The starting model on the held-out data, where an experiment has one. */
export async function plainModel(
  root: string,
  name: string,
  { runs, pairs }: Experiment,
): Promise<{ variant: string; losses: Losses } | undefined> {
  if (!pairs.flat().includes(plainVariant)) return undefined
  const file = join(root, '.cache/experiments', `${name}-plain.json`)
  const config = await configOf(join(root, '.cache/experiments', runs[0]!.name))
  const losses = await kept(file, () =>
    withInputs(config, (inputs) => lossesOf(inputs, plainPlan(inputs), new Map(), inputs.heldOut)),
  )
  return { variant: plainVariant, losses }
}

/** What each run, and the model it started from, make of the unrelated text. */
export async function otherTextLosses(
  root: string,
  name: string,
  { otherText }: Experiment,
  runs: readonly FinishedRun[],
): Promise<({ readonly variant: string; readonly loss: number } & Difference)[] | undefined> {
  if (!otherText || runs.length === 0) return undefined
  const configFor = async (folder: string): Promise<RunConfig> => {
    const config = await configOf(join(root, folder))
    return { ...config, data: { ...config.data, files: [resolve(root, otherText)], heldOutFraction: 0 } }
  }
  const results: { variant: string; losses: Losses }[] = []
  const plainFile = join(root, '.cache/experiments', `${name}-plain-other.json`)
  const plainConfig = await configFor(runs[0]!.folder)
  const plain = await kept(plainFile, () =>
    withInputs(plainConfig, (inputs) => lossesOf(inputs, plainPlan(inputs), new Map(), inputs.train)),
  )
  results.push({ variant: plainVariant, losses: plain })
  for (const run of runs) {
    const config = await configFor(run.folder)
    const { checkpoints } = await readRun(join(root, run.folder))
    const checkpoint = (await checkpoints.latest((message) => console.error(message)))!
    const losses = await kept(join(root, run.folder, 'other-text.json'), () =>
      withInputs(config, (inputs) =>
        lossesOf(inputs, stagePlan(inputs, config.stages.at(-1)!), checkpoint.parameters, inputs.train),
      ),
    )
    results.push({ variant: run.variant, losses })
  }
  return results.map(({ variant, losses }) => ({ variant, loss: losses.loss, ...pairedDifference([plain], [losses]) }))
}

async function configOf(folder: string): Promise<RunConfig> {
  return parseRunConfig((await readRun(folder)).config, folder)
}

const plainPlan = (inputs: RunInputs): TrainPlan =>
  stagePlan(
    { ...inputs, config: { ...inputs.config, streams: { ...inputs.config.streams, inputAtOne: false } } },
    { ...inputs.config.stages[0]!, p: 1, train: 'streams' },
  )

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

async function kept(file: string, make: () => Promise<Losses>): Promise<Losses> {
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Losses
  const losses = await make()
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(losses)}\n`)
  return losses
}
