/** Opens a model that is decoded or rounded while it is read, for engines that read weights once: nothing is written. */
import { realpath } from 'node:fs/promises'
import type { Hashing } from '../../checkpoint/backbone-digest.ts'
import { verifyDigest } from '../../checkpoint/backbone-digest.ts'
import type { OpenCheckpoint } from '../../checkpoint/open-checkpoint.ts'
import type { WeightSettings } from '../../checkpoint/quantise-model.ts'
import { checkpointContents, ggufContents, type ModelContents } from '../../contents/model-contents.ts'
import { streamedCheckpoint, streamedDigest, streamedStreamSet } from '../../contents/streamed.ts'
import { openFileSource } from '../disk/file-source.ts'
import { sha256 } from './backbone-digest.ts'
import { companionFiles } from './companion-files.ts'
import { type ContentOptions, modelContent, remembered } from './content.ts'
import { isGgufFile } from './is-gguf.ts'
import { type ModelFolder, openModelFolder } from './model-folder.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface StreamedModel {
  readonly backbone: ModelFolder & {
    /** How many tensors are stored as which type, as Q4_1 or F16. */
    readonly storedTypes: Readonly<Record<string, number>>
  }
  /** Those in its streams/, rounded as it is. */
  readonly streamSets: readonly ModelFolder[]
  /**
   * Whether sets were trained on the floats that the backbone is made of. Their digest takes a pass over them, once.
   *
   * @throws checkpoint error where they were not
   */
  verify(sets: readonly OpenCheckpoint[], options: ContentOptions): Promise<void>
}

/**
 * @param path a model's folder or a .gguf file
 * @param settings without, floats are as they are stored or decoded
 * @throws as openModelFolder, ggufContents and quantisationPlan
 */
export async function openStreamed(path: string, settings: WeightSettings | undefined): Promise<StreamedModel> {
  const opened: { close(): Promise<void> }[] = []
  try {
    const { contents, files, mustBeUnchanged, close } = await openSources(path)
    opened.push({ close })
    const backbone = {
      ...streamedCheckpoint(contents, settings, files),
      mustBeUnchanged,
      close,
      storedTypes: storedTypes(contents),
    }
    const streamSets: ModelFolder[] = []
    for (const folder of await streamSetFolders(path)) {
      const checkpoint = await openModelFolder(folder)
      opened.push(checkpoint)
      const set = { checkpoint, files: await companionFiles(folder) }
      const made = settings && settings !== 'stored' ? streamedStreamSet(set, settings, filesOf(checkpoint)) : checkpoint
      streamSets.push({ ...made, mustBeUnchanged: checkpoint.mustBeUnchanged, close: checkpoint.close })
    }
    return { backbone, streamSets, verify: (sets, options) => verify(path, contents, sets, options) }
  } catch (error) {
    await Promise.all(opened.map((one) => one.close()))
    throw error
  }
}

async function openSources(
  path: string,
): Promise<{ contents: ModelContents; files: string[] } & Pick<ModelFolder, 'mustBeUnchanged' | 'close'>> {
  const open = (await isGgufFile(path)) ? await openFileSource(path) : await openModelFolder(path)
  try {
    const { mustBeUnchanged, close } = open
    const [contents, files] =
      'read' in open
        ? [await ggufContents(open), [open.path]]
        : [checkpointContents(open, await companionFiles(path)), filesOf(open)]
    return { contents, files, mustBeUnchanged: mustBeUnchanged.bind(open), close: close.bind(open) }
  } catch (error) {
    await open.close()
    throw error
  }
}

/** The files that hold a checkpoint's tensors. */
const filesOf = ({ tensors, otherTensors }: Pick<OpenCheckpoint, 'tensors' | 'otherTensors'>): string[] => [
  ...new Set([...tensors.values(), ...otherTensors.values()].map(({ source }) => source.path ?? source.name)),
]

function storedTypes({ tensors }: ModelContents): Record<string, number> {
  const types: Record<string, number> = {}
  for (const tensor of tensors) {
    const type = 'type' in tensor ? tensor.type : tensor.dtype
    types[type] = (types[type] ?? 0) + 1
  }
  return types
}

async function verify(
  path: string,
  contents: ModelContents,
  sets: readonly OpenCheckpoint[],
  options: ContentOptions,
): Promise<void> {
  if (sets.length === 0) return
  const hashing: Hashing = { sha256, signal: options.signal }
  const content = await modelContent(await realpath(path), options)
  const digest = await remembered(`backbone of ${content}`, options.cacheDirectory, () => streamedDigest(contents, hashing))
  await verifyDigest(digest, path, sets, hashing)
}
