/** Writes what runs have trained as one model's folder, with its card. */
import { realpath } from 'node:fs/promises'
import { basename } from 'node:path'
import { usageError } from '@parscale/core/internal'
import type { StoredDType } from '@parscale/core/internal/checkpoint'
import {
  backboneDigest,
  type DiskAdvice,
  type ExportedStreams,
  exportModel,
  exportStreamSet,
  inheritedFiles,
  tokenizerFileBytes,
} from '@parscale/core/internal/node'
import { packageVersion } from '../package-files.ts'
import type { Io } from '../terminal/io.ts'
import type { TaskSummary } from './eval-results.ts'
import { modelCard, type ResultSummary } from './model-card.ts'
import type { OpenRun } from './open-run.ts'
import { type CardWords, runSummary } from './run-summary.ts'

export interface ExportRunsOptions extends Omit<CardWords, 'name'> {
  /** Must not exist, or be an empty folder. */
  readonly out: string
  /** Of the model, on its card. Default: the folder's. */
  readonly name?: string
  /** Further results for the card. */
  readonly results?: readonly ResultSummary[]
  readonly tasks?: readonly TaskSummary[]
  readonly dtype?: 'keep' | StoredDType
  /** What to say where the disk refuses. Default: to choose another folder. */
  readonly advice?: DiskAdvice
  /** Put the frozen backbone into the folder, too. Needed where runs are several. */
  readonly merge?: boolean
}

/** @throws usage error for runs that do not share a frozen backbone; as exportModel */
export async function exportRuns(runs: readonly OpenRun[], flags: ExportRunsOptions, io: Io): Promise<void> {
  const [run, ...others] = runs as [OpenRun, ...OpenRun[]]
  if (others.length > 0) await requireOneBackbone(runs, flags.merge === true, io)
  const { base, tied } = run
  const streamsOnly = run.frozen && !flags.merge
  const summary = await runSummary(run, others, {
    name: basename(flags.out),
    ...flags,
    results: flags.results ?? [],
    streamsOnly,
    version: packageVersion(),
  })
  const card = new TextEncoder().encode(modelCard(summary))
  const progress = io.progress(flags.out, 'B')
  const options = {
    dtype: flags.dtype ?? 'keep',
    ...(flags.advice && { advice: flags.advice }),
    signal: io.signal,
    onProgress: ({ doneBytes, totalBytes }: { doneBytes: number; totalBytes: number }) => progress.update(doneBytes, totalBytes),
  }
  const streams = ({ model: config, parameters }: OpenRun): ExportedStreams => ({ config, parameters })
  try {
    if (base && streamsOnly) {
      return await exportStreamSet(flags.out, { ...streams(run), files: new Map([['README.md', card]]) }, base, options)
    }
    const inherited = base ? await inheritedFiles(base.path) : []
    const files = new Map([...inherited, ...tokenizerFileBytes(run.tokenizer), ['README.md', card]])
    const frozen = run.frozen && base ? { base } : {}
    if (base && others.length > 0) {
      const plain = { config: base.config, parameters: new Map(), tied, files, base }
      return await exportModel(flags.out, { ...plain, streamSets: runs.map(streams) }, options)
    }
    await exportModel(flags.out, { ...streams(run), ...frozen, tied, files }, options)
  } finally {
    progress.end()
  }
}

/** Several runs make one model only if they trained streams for one frozen backbone. */
async function requireOneBackbone(runs: readonly OpenRun[], merge: boolean, io: Io): Promise<void> {
  if (!merge) throw usageError('export: several runs go into one folder only with --merge', { flag: 'merge' })
  const whole = runs.find(({ frozen, base }) => !frozen || !base)
  if (whole) {
    throw usageError(`${whole.path}: trained all weights, so its backbone is not that of the other runs; export it alone`, {
      file: whole.path,
    })
  }
  const places = await Promise.all(runs.map(({ base }) => realpath(base!.path)))
  const [first] = runs
  let expected: string | undefined
  for (const [i, run] of runs.entries()) {
    if (places[i] === places[0]) continue
    expected ??= await backboneDigest(first!.base!, io.signal)
    const found = await backboneDigest(run.base!, io.signal)
    if (found === expected) continue
    throw usageError(`${run.path}: was trained on another backbone than ${first!.path}; they cannot share a folder`, {
      file: run.path,
      expected,
      found,
    })
  }
}
