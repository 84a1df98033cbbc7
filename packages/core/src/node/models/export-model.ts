/** Writes what was trained as a Hugging Face folder. */
import type { Checkpoint } from '../../checkpoint/open-checkpoint.ts'
import {
  type ExportedModel,
  type ExportedStreams,
  type ExportedType,
  exportedContents,
  exportedStreamSet,
} from '../../contents/exported.ts'
import { type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { sha256 } from './backbone-digest.ts'

export interface ExportOptions extends WriteFolderOptions {
  /** Element type of all tensors; 'keep' (default): F32 for what was trained, the base's for the rest. Rounds to even. */
  readonly dtype?: ExportedType
}

/**
 * Writes a model with its backbone. Stream sets name the backbone's hash as it is written, after rounding.
 *
 * @param target must not exist, or be an empty folder
 * @throws as exportedContents and writeModelFolder; nothing is left behind then
 */
export async function exportModel(target: string, model: ExportedModel, options: ExportOptions = {}): Promise<void> {
  const { dtype = 'keep', ...writing } = options
  await writeModelFolder(target, await exportedContents(model, dtype, { sha256, signal: writing.signal }), writing)
}

/** Writes a stream set alone. @param target as of exportModel @throws as exportedStreamSet and writeModelFolder */
export async function exportStreamSet(
  target: string,
  streams: ExportedStreams,
  base: Checkpoint,
  options: ExportOptions = {},
): Promise<void> {
  const { dtype = 'keep', ...writing } = options
  const contents = await exportedStreamSet(streams, base, dtype, { sha256, signal: writing.signal })
  await writeModelFolder(target, contents, writing)
}
