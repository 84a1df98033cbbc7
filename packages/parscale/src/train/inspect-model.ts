/** Diagnoses and samples the model during training: it is written to files and loaded like any other model. */
import { join } from 'node:path'
import { diagnose } from '@parscale/core/internal/evaluation'
import { discard, exportModel, exportStreamSet, removeFolder, runAdvice, tokenizerFileBytes } from '@parscale/core/internal/node'
import { modelParameters, type Trainer } from '@parscale/core/internal/training'
import { loadTextModel } from '../load/load.ts'
import type { Io } from '../terminal/io.ts'
import { isFrozen, type RunInputs } from './run-inputs.ts'
import type { Inspection } from './train-loop.ts'

export async function inspectModel(io: Io, inputs: RunInputs, trainer: Trainer, run: string): Promise<Inspection> {
  const { config, runtime } = inputs
  const p = trainer.plan.config.parscale.n
  const frozen = isFrozen(inputs)
  const wanted = config.sample.tokens > 0 || (p > 1 && config.evaluation.diagnoseTokens > 0)
  // One stream for a frozen backbone is a control of experiments: there is no P to choose it by beside the plain model.
  if (!wanted || (frozen && p === 1)) return {}
  const preview = join(run, 'preview')
  try {
    await writePreview(inputs, trainer, preview)
    const options = { p, env: io.env, signal: io.signal, threads: runtime.threads, device: runtime.device }
    const text = frozen
      ? await loadTextModel(inputs.base!.path, { ...options, streamSets: [preview] })
      : await loadTextModel(preview, options)
    try {
      const { prompt, tokens: maxTokens } = config.sample
      const sampling = { p, maxTokens, temperature: 0.7, seed: config.seed, signal: io.signal }
      const [result] = maxTokens > 0 ? await text.generateBatch([prompt], sampling) : []
      const count = Math.min(config.evaluation.diagnoseTokens, inputs.heldOut.tokens)
      const { ids } = await inputs.heldOut.read(0, count)
      const diagnosis = p > 1 && count >= 3 ? await diagnose(text.engine, Array.from(ids), { p, signal: io.signal }) : undefined
      return { ...(result && { sample: result.text }), ...(diagnosis && { diagnosis }) }
    } finally {
      await text.dispose()
    }
  } finally {
    await discard(preview)
  }
}

/** Writes the model, or the streams of a frozen one, in place of what may be there; without a card. */
async function writePreview(inputs: RunInputs, trainer: Trainer, target: string): Promise<void> {
  const { base, tied } = inputs
  const { config } = trainer.plan
  const parameters = await modelParameters(inputs.runtime, trainer.plan, await trainer.readParameters())
  const writing = { advice: runAdvice }
  await removeFolder(target)
  if (base && isFrozen(inputs)) return await exportStreamSet(target, { config, parameters }, base, writing)
  await exportModel(target, { config, tied, parameters, files: new Map(tokenizerFileBytes(inputs.tokenizerFiles)) }, writing)
}
