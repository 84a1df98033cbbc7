/** Streams that start near the identity: what they do to a trained model's logits, and whether they learn. */
import { arrayStream, isTied, parscaleKeys } from '../checkpoint/index.ts'
import { modelFiles } from '../generation/index.ts'
import { type ModelConfig, type ParscaleOptions, parscaleConfig, streamParameters } from '../model/index.ts'
import { openModelFolder, writeModelFolder } from '../node/index.ts'
import { onnxRuntime } from '../node/onnx-runtime.ts'
import { initialParameters, TrainStep } from '../training/index.ts'
import { loadEngine, maxDifference } from './fixtures.ts'

export interface NearIdentity {
  /** Largest change of a logit before the first step. */
  readonly change: number
  /** Largest absolute logit of the plain model. */
  readonly largest: number
  /** Parameters whose gradient has been 0 in every step. */
  readonly silent: readonly string[]
  readonly losses: readonly number[]
}

/**
 * Starts streams on a plain model, compares its logits on `ids`, and trains the new parameters alone for `steps`.
 *
 * @param folder of the plain model
 * @param setFolder where the set of streams is written
 */
export async function startNearIdentity(
  folder: string,
  setFolder: string,
  options: ParscaleOptions,
  ids: readonly number[],
  steps: number,
): Promise<NearIdentity> {
  const plain = await openModelFolder(folder)
  const config: ModelConfig = { ...plain.config, parscale: parscaleConfig(options) }
  const trainable = streamParameters(config)
  const parameters = initialParameters(trainable, config, { seed: 5, init: 'near-identity' })
  const json = { ...plain.config.raw, ...parscaleKeys(config.parscale) }
  await writeModelFolder(setFolder, {
    files: new Map([['config.json', new TextEncoder().encode(JSON.stringify(json))]]),
    tensors: trainable.map(({ name, shape }) => arrayStream(name, shape, parameters.get(name)!)),
  })

  // Without the set, P = 1 is the plain model; with it, a set of one stream takes that place. As many rows in both: sums of
  // another number of rows are rounded otherwise, by more than streams change them.
  const logitsOf = async (p: number, sets: readonly string[]) => {
    const engine = await loadEngine(folder, { threads: 2 }, sets)
    const sequences = Array.from({ length: options.n / p }, () => engine.open({ p }))
    const [out] = await engine.step(sequences.map((sequence) => ({ sequence, ids, want: 'all' })))
    const logits = out!.logits.slice()
    await engine.dispose()
    return logits
  }
  const expected = await logitsOf(1, [])
  const change = maxDifference(await logitsOf(options.n, [setFolder]), expected)

  const { findWeight } = await modelFiles(plain)
  await plain.close()
  const optimizer = { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 } as const
  const shape = { sequences: 1, tokens: ids.length - 1 }
  const plan = { config, tied: isTied(plain), trainable, frozen: findWeight, shape, optimizer }
  const step = await TrainStep.create(onnxRuntime({ threads: 2 }), plan, { parameters })
  const losses: number[] = []
  for (let i = 1; i <= steps; i++) losses.push((await step.run([{ ids }], { learningRate: 3e-3, step: i })).loss)
  const { v } = await step.readState()
  const silent = trainable.map(({ name }) => name).filter((name) => v.get(name)!.every((x) => x === 0))
  await step.dispose()
  const largest = expected.reduce((max, x) => Math.max(max, Math.abs(x)), 0)
  return { change, largest, silent, losses }
}

/** Every choice that can start there; the rank and length are small for tiny models. */
export const nearIdentityChoices: Readonly<Record<string, ParscaleOptions>> = {
  'one gated prefix': { n: 1, input: 'prefix', nTokens: 6, gate: true },
  'gated prefixes, dynamic': { n: 4, input: 'prefix', nTokens: 6, gate: true },
  'gated prefixes, average': { n: 2, input: 'prefix', nTokens: 6, gate: true, aggregation: 'average' },
  'lora, dynamic': { n: 3, input: 'lora', loraRank: 4 },
  'lora, static': { n: 4, input: 'lora', loraRank: 4, aggregation: 'static' },
  'bitfit, dynamic': { n: 2, input: 'bitfit' },
  'scales, dynamic': { n: 2, input: 'scales' },
  'scales, lora and gains, average': { n: 2, input: ['scales', 'lora', 'norms'], loraRank: 2, aggregation: 'average' },
}
