/** Writes a model's folder with its matrices quantised, from a Hugging Face folder or straight from a GGUF file. */
import { basename } from 'node:path'
import type { QuantiseSettings, WeightSettings } from '../../checkpoint/quantise-model.ts'
import {
  hashedBytes,
  type QuantisationPlan,
  type QuantisationSummary,
  quantisationPlan,
  quantisedContents,
  type StoredStreamSet,
} from '../../contents/quantised.ts'
import { refuseTaken } from '../disk/whole-folder.ts'
import { type WriteFolderOptions, type WriteProgress, writeModelFolder } from '../disk/write-folder.ts'
import { sha256 } from './backbone-digest.ts'
import { companionFiles } from './companion-files.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'
import { openModelContents } from './open-contents.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface QuantiseOptions extends QuantiseSettings, Omit<WriteFolderOptions, 'maxShardBytes'> {}

/** Says what quantising would make of a model, and what it would take. @throws as quantiseModel, but for its numbers */
export async function planQuantisation(source: string, settings: WeightSettings): Promise<QuantisationPlan> {
  const model = await openModelContents(source)
  await model.close()
  return quantisationPlan(model, settings)
}

/**
 * Quantises a model and its stream sets in streams/. The source is read twice, for its digest first: progress counts both.
 *
 * @param source a model's folder or a .gguf file
 * @param directory must not exist, or be an empty folder
 * @throws usage error when the model is quantised already, checkpoint error when it is damaged or holds numbers that are not
 *   finite, else as writeModelFolder; then nothing is left behind
 */
export async function quantiseModel(
  source: string,
  directory: string,
  { bits, blockSize, ...writing }: QuantiseOptions,
): Promise<QuantisationSummary> {
  return await writeQuantised(source, directory, { bits, blockSize }, writing)
}

/** The same, also for the integers of a GGUF file as they are stored. */
export async function writeQuantised(
  source: string,
  directory: string,
  settings: WeightSettings,
  writing: Omit<WriteFolderOptions, 'maxShardBytes'> = {},
): Promise<QuantisationSummary> {
  await refuseTaken(directory)
  const model = await openModelContents(source)
  const sets = new Map<string, StoredStreamSet & { readonly checkpoint: ModelFolder }>()
  try {
    const plan = quantisationPlan(model, settings)
    for (const path of await streamSetFolders(source))
      sets.set(`streams/${basename(path)}`, { checkpoint: await openModelFolder(path), files: await companionFiles(path) })
    const toHash = hashedBytes(model)
    const progress = ({ doneBytes, totalBytes }: WriteProgress) =>
      writing.onProgress?.({ doneBytes, totalBytes: toHash + totalBytes })
    let hashed = 0
    const onBytes = (bytes: number) => {
      hashed += bytes
      progress({ doneBytes: hashed, totalBytes: plan.summary.bytesAfter })
    }
    const contents = await quantisedContents(model, plan, sets, { sha256, signal: writing.signal, onBytes })
    await writeModelFolder(directory, contents, {
      ...writing,
      // One file: weights that an engine takes as one must not be apart.
      maxShardBytes: Number.POSITIVE_INFINITY,
      onProgress: ({ doneBytes, totalBytes }) => progress({ doneBytes: toHash + doneBytes, totalBytes }),
    })
    return plan.summary
  } finally {
    await Promise.all([model, ...[...sets.values()].map(({ checkpoint }) => checkpoint)].map((open) => open.close()))
  }
}
