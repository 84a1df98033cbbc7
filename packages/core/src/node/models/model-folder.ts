/** A model as Hugging Face lays it out: a folder with config.json, safetensors and the tokenizer's files. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type OpenCheckpoint, openCheckpoint, type TextFiles } from '../../checkpoint/open-checkpoint.ts'
import { checkpointError } from '../../errors.ts'
import { type FileSource, openFileSource } from '../disk/file-source.ts'

/** An open model; its `path` is the folder. Its tensors read from files that stay open until `close`. */
export interface ModelFolder extends OpenCheckpoint {
  /** For who has let an engine open the files. @throws checkpoint error when one was changed or replaced since it was opened */
  mustBeUnchanged(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens a model's folder: reads config.json and the headers of its weights, no weight.
 *
 * @throws checkpoint error for a path that is no folder; else as openCheckpoint
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const found = await stat(path).catch((cause) => {
    throw checkpointError(`${path}: there is no such folder (${(cause as NodeJS.ErrnoException).code}); check the path`, {
      file: path,
      cause,
    })
  })
  if (!found.isDirectory()) throw checkpointError(`${path}: expected a model's folder, found a file`, { file: path })
  const open: FileSource[] = []
  const close = async () => {
    await Promise.all(open.map((source) => source.close()))
  }
  try {
    const checkpoint = await openCheckpoint({
      ...textFiles(path),
      async openSource(name) {
        if (!(await exists(join(path, name)))) return undefined
        const source = await openFileSource(join(path, name))
        open.push(source)
        return source
      },
    })
    const mustBeUnchanged = async () => {
      await Promise.all(open.map((source) => source.mustBeUnchanged()))
    }
    return { ...checkpoint, mustBeUnchanged, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** The text files of a folder. @throws checkpoint error for what is there and cannot be read */
export const textFiles = (path: string): TextFiles => ({ path, readText: (name) => readOptional(join(path, name)) })

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw checkpointError(`${path}: cannot be read (${code})`, { file: path, cause })
  }
}

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )
