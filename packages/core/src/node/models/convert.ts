/** Turns a model, a Hugging Face folder or a GGUF file, into a Hugging Face folder. */
import { basename } from 'node:path'
import type { StoredDType } from '../../checkpoint/tensor.ts'
import { convertedContents } from '../../contents/converted.ts'
import { foldedContents } from '../../contents/folded.ts'
import { usageError } from '../../errors.ts'
import { hasStreams } from '../../model/index.ts'
import { type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { sha256, verifySameBackbone } from './backbone-digest.ts'
import { openModelFolder } from './model-folder.ts'
import { type OpenContents, openModelContents } from './open-contents.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface ConvertOptions extends WriteFolderOptions {
  /** Element type of all weights; 'keep' (default): each as stored, quantised blocks as F32. Narrowing rounds to even. */
  readonly dtype?: 'keep' | StoredDType
  /** Write one stream as a plain model (contents/folded.ts), in place of the model and its stream sets. */
  readonly fold?: {
    /** From 1. Default: the only one. */
    readonly stream?: number | undefined
    /** The P of the stream set that it is of. Default: the only set. */
    readonly p?: number | undefined
  }
}

/**
 * Writes a model anew, with its stream sets in streams/. Where the backbone's element type changes, sets name the new one.
 *
 * @param source a model's folder or a .gguf file
 * @param directory must not exist, or be an empty folder
 * @throws as openModelFolder, ggufContents, convertedContents, foldedContents and writeModelFolder; then nothing is left behind
 */
export async function convertModel(source: string, directory: string, options: ConvertOptions = {}): Promise<void> {
  const { dtype = 'keep', fold, ...writing } = options
  const model = await openModelContents(source)
  const sets = new Map<string, OpenContents>()
  try {
    for (const path of await streamSetFolders(source)) sets.set(`streams/${basename(path)}`, await openModelContents(path))
    const hashing = { sha256, signal: writing.signal }
    if (fold) {
      const set = chooseSet(source, [model, ...sets.values()], fold.p)
      if (set !== model) await verifySet(source, set.path, writing.signal)
      const folded = { ...model, ...foldedContents(model, set, fold.stream) }
      return await writeModelFolder(directory, await convertedContents(folded, new Map(), dtype, hashing), writing)
    }
    const contents = await convertedContents(model, sets, dtype, hashing)
    await writeModelFolder(directory, contents, writing)
  } finally {
    await Promise.all([model, ...sets.values()].map((open) => open.close()))
  }
}

/** @throws usage error where P says no set, or several could be meant */
function chooseSet(source: string, all: readonly OpenContents[], p: number | undefined): OpenContents {
  const sets = all.filter(({ config }) => hasStreams(config))
  const found = p === undefined ? sets : sets.filter(({ config }) => config.parscale.n === p)
  const [set] = found
  if (set && found.length === 1) return set
  const there = sets.map(({ config }) => config.parscale.n).join(', ')
  const what =
    sets.length === 0
      ? 'is a plain model (P = 1), in which there is nothing to fold'
      : `has stream sets with P = ${there}; say which with --p`
  throw usageError(`${source}: ${what}`, { file: source, flag: 'p', found: p })
}

/** @throws checkpoint error where a set was trained on another backbone */
async function verifySet(source: string, path: string, signal: AbortSignal | undefined): Promise<void> {
  const open = await Promise.all([openModelFolder(source), openModelFolder(path)])
  try {
    await verifySameBackbone(open[0], [open[1]], signal)
  } finally {
    await Promise.all(open.map((each) => each.close()))
  }
}
