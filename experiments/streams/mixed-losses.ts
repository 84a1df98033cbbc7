/** The loss of several models whose probabilities are averaged, on the held-out data that their runs share. */
import { join } from 'node:path'
import { readRun } from '@parscale/core/internal/node'
import { LossEvaluation, parseRunConfig, stagePlan } from '@parscale/core/internal/training'
import { evaluationBatches, type TokenFile } from '@parscale/core/internal/training/data'
import { nativeRuntime } from '@parscale/native'
import { Tensor } from 'onnxruntime-common'
import { createIo } from '../../packages/parscale/src/terminal/io.ts'
import { openRunInputs } from '../../packages/parscale/src/train/run-inputs.ts'

/** What `parscale train` leaves in RUN/evaluation.json: of each sequence the sum of its losses, its tokens, its document. */
export interface SequenceLosses {
  readonly nats: readonly number[]
  readonly counts: readonly number[]
  readonly documents: readonly number[]
}

interface Sequence {
  readonly document: number
  /** Of each token that counts, nats. */
  readonly surprisals: readonly number[]
}

/** A token's surprisal is -ln of the mean over runs of the probability that each gives it. */
export async function mixedLosses(runs: readonly string[]): Promise<SequenceLosses> {
  const each: Sequence[][] = []
  for (const run of runs) each.push(await sequencesOf(run))
  const mixed = each[0]!.map(({ surprisals }, i) =>
    surprisals.reduce((sum, _, t) => {
      const probabilities = each.map((sequences) => Math.exp(-sequences[i]!.surprisals[t]!))
      return sum - Math.log(probabilities.reduce((a, b) => a + b, 0) / each.length)
    }, 0),
  )
  return {
    nats: mixed,
    counts: each[0]!.map(({ surprisals }) => surprisals.length),
    documents: each[0]!.map(({ document }) => document),
  }
}

async function sequencesOf(run: string): Promise<Sequence[]> {
  const { config, checkpoints } = await readRun(run)
  const inputs = await openRunInputs(createIo(), nativeRuntime(), parseRunConfig(config, run), {
    tokenizerFolder: join(run, 'tokenizer'),
  })
  const plan = stagePlan(inputs, inputs.config.stages.at(-1)!)
  const evaluation = await LossEvaluation.create(inputs.runtime, plan)
  try {
    const { parameters } = (await checkpoints.latest((message) => console.error(message)))!
    const feeds = plan.trainable.map(({ name, shape }) => [name, new Tensor('float32', parameters.get(name)!, shape)] as const)
    return await readSequences(evaluation, Object.fromEntries(feeds), inputs.heldOut, plan.shape)
  } finally {
    await evaluation.dispose()
    await inputs.close()
  }
}

async function readSequences(
  evaluation: LossEvaluation,
  parameters: { readonly [name: string]: Tensor },
  file: TokenFile,
  { sequences: batchSize, tokens: T }: { readonly sequences: number; readonly tokens: number },
): Promise<Sequence[]> {
  const batches = evaluationBatches(file, { batchSize, tokens: T, packing: 'document' })
  const read: Sequence[] = []
  while (read.length < batches.sequences) {
    const batch = await batches.batch(read.length / batchSize)
    const losses = await evaluation.run(parameters, batch)
    for (let b = 0; b < batchSize && read.length < batches.sequences; b++) {
      const counted = Array.from({ length: T }, (_, t) => b * T + t).filter((at) => batch.weights[at]! > 0)
      read.push({ document: batch.documents[b * (T + 1)]!, surprisals: counted.map((at) => losses[at]!) })
    }
  }
  return read
}
