/** A model as Hugging Face lays it out: a folder with config.json, safetensors and the tokenizer's files. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ByteSource } from '../../checkpoint/byte-source.ts'
import { type ModelConfig, parseModelConfig } from '../../checkpoint/config.ts'
import { isJsonObject, parseJsonText } from '../../checkpoint/json-text.ts'
import { parseSafetensors } from '../../checkpoint/safetensors.ts'
import { parseSafetensorsIndex, parseShards, safetensorsIndexName } from '../../checkpoint/safetensors-index.ts'
import { type AnyDType, type CheckpointTensors, type StoredTensor, sortTensors } from '../../checkpoint/tensor.ts'
import { checkpointError } from '../../errors.ts'
import { type FileSource, openFileSource } from '../disk/file-source.ts'

/** An open model. Its tensors read from files that stay open until `close`. */
export interface ModelFolder extends CheckpointTensors {
  /** The folder. */
  readonly path: string
  readonly config: ModelConfig
  /** config.json as parsed. */
  readonly configJson: Readonly<Record<string, unknown>>
  /** A text file of the folder, such as tokenizer.json; undefined where there is none. */
  readText(name: string): Promise<string | undefined>
  close(): Promise<void>
}

/**
 * Opens a model's folder: reads config.json and the headers of its weights, no weight.
 *
 * @throws checkpoint error for a path that is no folder, a missing or damaged file and a missing shard;
 *   unsupported error for an unknown architecture
 */
export async function openModelFolder(path: string): Promise<ModelFolder> {
  const found = await stat(path).catch((cause) => {
    throw checkpointError(`${path}: there is no such folder (${(cause as NodeJS.ErrnoException).code}); check the path`, {
      file: path,
      cause,
    })
  })
  if (!found.isDirectory()) throw checkpointError(`${path}: expected a model's folder, found a file`, { file: path })

  const readText = (name: string) => readOptional(join(path, name))
  const configPath = join(path, 'config.json')
  const configText = await readText('config.json')
  if (configText === undefined) {
    throw checkpointError(`${configPath} is missing; a model's folder has config.json beside its weights`, { file: configPath })
  }
  const configJson = parseJsonText(configText, configPath)
  const config = parseModelConfig(configJson, configPath)
  if (!isJsonObject(configJson)) throw checkpointError(`${configPath} should be a JSON object`, { file: configPath })

  const open: FileSource[] = []
  const close = async () => {
    await Promise.all(open.map((source) => source.close()))
  }
  try {
    const tensors = await readTensorHeaders(path, async (name) => {
      const source = await openFileSource(join(path, name))
      open.push(source)
      return source
    })
    return { path, config, configJson, ...sortTensors(tensors), readText, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function readTensorHeaders(
  folder: string,
  openSource: (name: string) => Promise<ByteSource>,
): Promise<readonly StoredTensor<AnyDType>[]> {
  const indexPath = join(folder, safetensorsIndexName)
  const indexText = await readOptional(indexPath)
  if (indexText !== undefined) return await parseShards(parseSafetensorsIndex(indexText, indexPath), openSource)

  const single = 'model.safetensors'
  const exists = await stat(join(folder, single)).then(
    () => true,
    () => false,
  )
  if (!exists) {
    throw checkpointError(`${folder}: no weights: expected ${single} or ${safetensorsIndexName}`, { file: folder })
  }
  return (await parseSafetensors(await openSource(single))).tensors
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw checkpointError(`${path}: cannot be read (${code})`, { file: path, cause })
  }
}
