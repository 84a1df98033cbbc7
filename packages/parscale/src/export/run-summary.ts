/** What a run's folder says about itself, for the model card. */
import { readFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { isAbsolute } from 'node:path/posix'
import process from 'node:process'
import { backboneParameters, elementCount, hasStreams, type Parameter, streamParameters } from '@parscale/core/model'
import { type FinalEvaluation, parseFinalEvaluation, type RunConfig, totalSteps } from '@parscale/core/training'
import type { ResultSummary, RunSummary } from './model-card.ts'
import type { OpenRun } from './open-run.ts'
import { runCommand } from './run-command.ts'

/** What only a person knows. */
export interface CardWords {
  readonly name: string
  readonly licence?: string
  readonly hardware?: string
  readonly dataNote?: string
}

/** @param others further runs of the same backbone, whose streams go into the same folder */
export async function runSummary(
  run: OpenRun,
  others: readonly OpenRun[],
  words: CardWords & { readonly results: readonly ResultSummary[]; readonly streamsOnly: boolean; readonly version: string },
): Promise<RunSummary> {
  const { config, checkpoint, model, tied, base, frozen } = run
  const runs = [run, ...others]
  const figures = figuresOf(run)
  const results = await Promise.all(runs.map(resultOf))
  const ps = runs.map((each) => each.model.parscale.n)
  const sum = (field: 'tokensSeen' | 'trainingSeconds') => runs.reduce((total, each) => total + figuresOf(each)[field], 0)
  const largest = runs.reduce((a, b) => (b.model.parscale.n > a.model.parscale.n ? b : a)).model
  return {
    name: words.name,
    recipe: config.recipe,
    command: runs.map((each) => runCommand(each.config, shortPath)).join('\n'),
    version: words.version,
    ...(words.licence !== undefined && { licence: words.licence }),
    ...(base && { base: { name: baseName(config.base!), frozen, ...figures.backbone } }),
    p: [...new Set(frozen || !hasStreams(model) ? [1, ...ps] : ps)].sort((a, b) => a - b),
    parameters: { backbone: count(backboneParameters(model, tied)), streams: count(streamParameters(largest)) },
    streamsOnly: words.streamsOnly,
    stages: runs.flatMap((each) => stages(each.config, each.checkpoint.step)),
    data: {
      ...figures.data,
      files: config.data.files.map(shortPath),
      ...(words.dataNote !== undefined && { about: words.dataNote }),
    },
    tokensSeen: sum('tokensSeen'),
    results: [...results.flat(), ...words.results].sort((a, b) => a.p - b.p),
    hyperparameters: leaves(config),
    trainingSeconds: sum('trainingSeconds'),
    ...(words.hardware !== undefined && { hardware: words.hardware }),
    ...(checkpoint.step < totalSteps(config) && {
      limits: [`Training was not finished: this is step ${checkpoint.step} of ${totalSteps(config)}.`],
    }),
  }
}

/** Of this machine's paths only what lies below the current folder is anybody's business. */
function shortPath(path: string): string {
  if (!isAbsolute(path.replaceAll('\\', '/').replace(/^[A-Za-z]:/, ''))) return path
  const below = relative(process.cwd(), path)
  return below.startsWith('..') || isAbsolute(below) ? basename(path) : below || '.'
}

/** A folder is written as one, so that nobody takes it for ORG/NAME. */
function baseName(base: string): string {
  const short = shortPath(base)
  return short !== base && short.includes('/') ? `./${short}` : short
}

const count = (list: readonly Parameter[]): number => list.reduce((sum, { shape }) => sum + elementCount(shape), 0)

/** What the training loop saved with the checkpoint (train/train-loop.ts); 0 where it did not. */
function figuresOf({ checkpoint: { state } }: OpenRun) {
  const part = (name: string) => (state[name] ?? {}) as Readonly<Record<string, unknown>>
  const figure = (from: string, name: string) => Number(part(from)[name] ?? 0)
  const { backboneSha256: sha256 } = part('data')
  return {
    backbone: typeof sha256 === 'string' ? { sha256 } : {},
    tokensSeen: figure('position', 'tokens'),
    trainingSeconds: figure('loop', 'trainingSeconds'),
    data: {
      textBytes: figure('data', 'textBytes'),
      documents: figure('data', 'documents'),
      trainTokens: figure('data', 'trainTokens'),
      heldOutTokens: figure('data', 'heldOutTokens'),
    },
  }
}

/** The stages up to a step, the last of them as far as it went. */
function stages({ stages: all, batch }: RunConfig, step: number): RunSummary['stages'] {
  let left = step
  return all.flatMap(({ p, steps, train, schedule, learningRate, finalLearningRate }) => {
    const taken = Math.min(steps, left)
    left -= taken
    const tokens = taken * batch.sequences * batch.tokens * batch.microBatches
    return taken > 0 ? [{ p, steps: taken, tokens, train, schedule, learningRate, finalLearningRate }] : []
  })
}

/** The loss on all held-out data, where the checkpoint is the run's last; else what was measured while training. */
async function resultOf({ path, config, checkpoint, model }: OpenRun): Promise<ResultSummary[]> {
  const p = model.parscale.n
  const { step, loss } = checkpoint
  const final = step === totalSteps(config) ? await readEvaluation(join(path, 'evaluation.json')) : undefined
  if (final) return [{ p, loss: final.loss, tokens: final.tokens, ...withInterval(final) }]
  if (loss === undefined) return []
  return [{ p, loss, tokens: await evaluatedTokens(path, step) }]
}

const readEvaluation = async (path: string): Promise<FinalEvaluation | undefined> => {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : parseFinalEvaluation(text, path)
}

/** Of the mean over tokens: a ratio of sums over sequences, whose variance is linearised (Cochran, Sampling Techniques, 6.4). */
function withInterval({ loss, tokens, nats, counts }: FinalEvaluation): Pick<ResultSummary, 'interval'> {
  const n = nats.length
  if (n < 2) return {}
  const squares = nats.reduce((sum, each, i) => sum + (each - loss * counts[i]!) ** 2, 0)
  const half = (1.96 * Math.sqrt((squares * n) / (n - 1))) / tokens
  return { interval: [loss - half, loss + half] }
}

async function evaluatedTokens(path: string, step: number): Promise<number> {
  const lines = (await readFile(join(path, 'metrics.jsonl'), 'utf8').catch(() => '')).split('\n').filter(Boolean)
  const records = lines.map((line) => JSON.parse(line) as { kind: string; step: number; tokens: number })
  return records.findLast((record) => record.kind === 'evaluation' && record.step === step)?.tokens ?? 0
}

/** The configuration, flat; what the card says elsewhere is left out. */
function leaves(config: RunConfig): RunSummary['hyperparameters'] {
  const { version: _, recipe: __, base: ___, stages, data, ...rest } = config
  const flat: Record<string, string | number | boolean | null> = {}
  const add = (value: unknown, path: string) => {
    if (typeof value !== 'object' || value === null) flat[path] = value as string | number | boolean | null
    else for (const [key, item] of Object.entries(value)) add(item, path === '' ? key : `${path}.${key}`)
  }
  const { files: ____, ...reading } = data
  add({ ...rest, tokenizer: rest.tokenizer && shortPath(rest.tokenizer), stages, data: reading }, '')
  return flat
}
