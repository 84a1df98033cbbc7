/** What a run's folder says about itself, for the model card. */
import { readFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import { isAbsolute } from 'node:path/posix'
import process from 'node:process'
import { backboneParameters, elementCount, hasStreams, type Parameter, streamParameters } from '@parscale/core/internal/model'
import {
  type FinalEvaluation,
  parseFinalEvaluation,
  parseMetrics,
  type RunConfig,
  totalSteps,
} from '@parscale/core/internal/training'
import type { ResultSummary, RunSummary } from './model-card.ts'
import type { OpenRun } from './open-run.ts'
import { runCommand } from './run-command.ts'

/** What only a person knows. */
export interface CardWords extends Pick<RunSummary, 'name' | 'licence' | 'hardware'> {
  readonly dataNote?: string
}

/** @param others further runs of the same backbone, whose streams go into the same folder */
export async function runSummary(
  run: OpenRun,
  others: readonly OpenRun[],
  { dataNote, ...words }: CardWords & Pick<RunSummary, 'results' | 'tasks' | 'streamsOnly' | 'version'>,
): Promise<RunSummary> {
  const { config, checkpoint, model, tied, base, frozen } = run
  const runs = [run, ...others]
  const figures = runs.map(figuresOf)
  const results = await Promise.all(runs.map(resultOf))
  const ps = runs.map((each) => each.model.parscale.n)
  const largest = runs.reduce((a, b) => (b.model.parscale.n > a.model.parscale.n ? b : a)).model
  const { sha256, tokens: _, seconds: __, ...data } = figures[0]!
  return {
    ...words,
    recipe: config.recipe,
    command: runs.map((each) => runCommand(each.config, shortPath)).join('\n'),
    ...(base && { base: { name: baseName(config.base!), frozen, ...(sha256 !== undefined && { sha256 }) } }),
    p: [...new Set(frozen || !hasStreams(model) ? [1, ...ps] : ps)].sort((a, b) => a - b),
    parameters: { backbone: count(backboneParameters(model, tied)), streams: count(streamParameters(largest)) },
    stages: runs.flatMap(stages),
    data: { ...data, files: config.data.files.map(shortPath), ...(dataNote !== undefined && { about: dataNote }) },
    tokensSeen: figures.reduce((sum, { tokens }) => sum + tokens, 0),
    results: [...results.flat(), ...words.results].sort((a, b) => a.p - b.p),
    hyperparameters: hyperparameters(config),
    trainingSeconds: figures.reduce((sum, { seconds }) => sum + seconds, 0),
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
  const figure = (part: string, name: string) => Number(Object(state[part])[name] ?? 0)
  return {
    sha256: Object(state.data).backboneSha256 as string | undefined,
    tokens: figure('position', 'tokens'),
    seconds: figure('loop', 'trainingSeconds'),
    textBytes: figure('data', 'textBytes'),
    documents: figure('data', 'documents'),
    trainTokens: figure('data', 'trainTokens'),
    heldOutTokens: figure('data', 'heldOutTokens'),
  }
}

/** The stages up to the checkpoint's step, the last of them as far as it went. */
function stages({ config, checkpoint }: OpenRun): RunSummary['stages'] {
  const { sequences, tokens, microBatches } = config.batch
  let left = checkpoint.step
  return config.stages.flatMap((stage) => {
    const steps = Math.min(stage.steps, left)
    left -= steps
    return steps > 0 ? [{ ...stage, steps, tokens: steps * sequences * tokens * microBatches }] : []
  })
}

/** The loss on all held-out data, where the checkpoint is the run's last; else what was measured while training. */
async function resultOf({ path, config, checkpoint: { step, loss }, model }: OpenRun): Promise<ResultSummary[]> {
  const p = model.parscale.n
  const final = step === totalSteps(config) ? await read(join(path, 'evaluation.json'), parseFinalEvaluation) : undefined
  if (final) return [{ p, loss: final.loss, tokens: final.tokens, ...withInterval(final) }]
  if (loss === undefined) return []
  const records = (await read(join(path, 'metrics.jsonl'), parseMetrics)) ?? []
  return [{ p, loss, tokens: records.findLast((each) => each.kind === 'evaluation' && each.step === step)?.tokens ?? 0 }]
}

/** One of the run's own files; undefined where there is none. */
async function read<T>(file: string, parse: (text: string, where: string) => T): Promise<T | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : parse(text, file)
}

function withInterval(evaluation: FinalEvaluation): Pick<ResultSummary, 'interval'> {
  const error = heldOutError(evaluation)
  if (error === undefined) return {}
  const { loss } = evaluation
  return { interval: [loss - 1.96 * error, loss + 1.96 * error] }
}

/**
 * Standard error of the mean over tokens: a ratio of sums over sequences, whose variance is linearised (Cochran, Sampling Techniques,
 * 6.4). Undefined of a single sequence.
 */
export function heldOutError({ loss, tokens, nats, counts }: FinalEvaluation): number | undefined {
  const n = nats.length
  if (n < 2) return undefined
  const squares = nats.reduce((sum, each, i) => sum + (each - loss * counts[i]!) ** 2, 0)
  return Math.sqrt((squares * n) / (n - 1)) / tokens
}

/** The configuration, flat; what the card says elsewhere is left out. */
function hyperparameters({ version: _, recipe: __, base: ___, ...config }: RunConfig): RunSummary['hyperparameters'] {
  const { files: ____, ...data } = config.data
  const leaves = (value: unknown, path: string): [string, string | number | boolean | null][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, item]) => leaves(item, path === '' ? key : `${path}.${key}`))
      : [[path, value as string | number | boolean | null]]
  return Object.fromEntries(leaves({ ...config, tokenizer: config.tokenizer && shortPath(config.tokenizer), data }, ''))
}
