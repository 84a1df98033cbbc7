/** What `fit`, `predict` and `plan` share: where points come from, which law, and the bootstrap with its progress. */
import { readFile } from 'node:fs/promises'
import { type Command, Option } from '@commander-js/extra-typings'
import { finishWithPauses, usageError } from '@parscale/core/internal'
import {
  type BootstrapThetas,
  bootstrapRefits,
  type DatasetName,
  datasetNames,
  type Fit,
  fittingLaw,
  lawNamed,
  lawNames,
  type Point,
  parsePoints,
  publishedPoints,
  undeterminedParameters,
} from '@parscale/core/internal/law'
import type { Io } from '../terminal/io.ts'
import { whyUnread } from '../terminal/why-unread.ts'
import { integer, number } from './options.ts'

export const datasetOption = new Option('--dataset <name>', 'the published points of a corpus').choices(datasetNames)
export const lawOption = new Option('--law <name>', 'law to fit (default: log, or joint-log where D varies)').choices(lawNames)
export const bootstrapOption = new Option('--bootstrap <n>', 'refits for the intervals, 0 for none')
  .argParser(integer(0))
  .default(1000)
export const seedOption = new Option('--seed <n>', 'seed of the bootstrap').argParser(integer(0)).default(0)
export const levelOption = new Option('--level <share>', 'coverage of the intervals').argParser(number).default(0.95)

/** Without a file and --dataset: the paper's Stack-V2-Python. */
export async function readPoints(
  file: string | undefined,
  dataset: DatasetName | undefined,
): Promise<{ source: string; dataset: DatasetName | undefined; points: Point[] }> {
  if (file !== undefined && dataset !== undefined)
    throw usageError('give either DATA or --dataset, not both', { flag: '--dataset' })
  if (file === undefined) {
    const corpus = dataset ?? 'stack-v2-python'
    return { source: corpus, dataset: corpus, points: publishedPoints(corpus) }
  }
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw usageError(`${file}: ${whyUnread(cause as NodeJS.ErrnoException)}`, { file, cause })
  }
  return { source: file, dataset: undefined, points: parsePoints(text, file) }
}

/** Fits the named law, or one that suits the points. Refuses, like fitLaw, to give numbers that the points do not determine. */
export async function fitPoints(name: string | undefined, points: readonly Point[], { signal }: Io): Promise<Fit> {
  const varied = new Set(points.map(({ D }) => D)).size > 1 && points.every(({ D }) => D !== undefined)
  const fit = await finishWithPauses(fittingLaw(lawNamed(name ?? (varied ? 'joint-log' : 'log')), points), { signal })
  const open = undeterminedParameters(fit)
  if (open.length > 0) {
    throw usageError(
      `these losses do not fall as the ${fit.law.name} law has it: ${open.join(', ')} cannot be determined; look at the data, or choose another law`,
      { flag: '--law', found: open },
    )
  }
  return fit
}

/** Refits with a progress bar; Ctrl-C ends them. None where there are no points to spare, with a word on stderr. */
export async function bootstrapWithProgress(fit: Fit, count: number, seed: number, io: Io): Promise<BootstrapThetas> {
  if (count === 0) return []
  if (fit.points.length <= fit.law.parameters.length) {
    io.stderr(`no intervals: ${fit.points.length} points leave nothing over to estimate noise from\n`)
    return []
  }
  const progress = io.progress('bootstrap refits')
  try {
    const steps = refits(fit, count, seed)
    return await finishWithPauses(steps, { signal: io.signal, onPause: (done) => progress.update(done, count) })
  } finally {
    progress.end()
  }
}

/** So many refits, yielding how many there are. */
function* refits(fit: Fit, count: number, seed: number): Generator<number, BootstrapThetas> {
  const thetas: Float64Array[] = []
  for (const theta of bootstrapRefits(fit, seed)) {
    if (theta) thetas.push(theta)
    if (thetas.length === count) break
    yield thetas.length
  }
  return thetas
}

/** The fit and its refits in one go, for commands that only use them. */
export async function fittedLaw(
  io: Io,
  file: string | undefined,
  flags: { dataset?: DatasetName; law?: string; bootstrap: number; seed: number },
): Promise<{ source: string; fit: Fit; thetas: BootstrapThetas }> {
  const { source, points } = await readPoints(file, flags.dataset)
  const fit = await fitPoints(flags.law, points, io)
  return { source, fit, thetas: await bootstrapWithProgress(fit, flags.bootstrap, flags.seed, io) }
}

/**
 * Refuses options of the command line that would have no effect, rather than ignore them.
 * @param names as in the flags object @param reason ends the sentence "--memory has no effect ..."
 */
export function refuseGiven(command: Pick<Command, 'getOptionValueSource'>, names: readonly string[], reason: string): void {
  const given = names.find((name) => command.getOptionValueSource(name) === 'cli')
  if (given === undefined) return
  const flag = `--${given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
  throw usageError(`${flag} has no effect ${reason}`, { flag })
}

export function checkLevel(level: number): number {
  if (!(level > 0 && level < 1))
    throw usageError(`--level must lie between 0 and 1, got ${level}`, { flag: '--level', found: level })
  return level
}
