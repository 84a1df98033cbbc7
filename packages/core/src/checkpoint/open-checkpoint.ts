/** Opens a model in Hugging Face's layout, wherever its files lie: in a folder, behind a URL, in OPFS, dropped on a page. */
import { checkpointError } from '../errors.ts'
import type { ByteSource } from './byte-source.ts'
import { type ModelConfig, parseModelConfig, requireLayers } from './config.ts'
import { isJsonObject, parseJsonText } from './json-text.ts'
import { parseSafetensors } from './safetensors.ts'
import { parseSafetensorsIndex, parseShards, safetensorsIndexName, singleWeightsName } from './safetensors-index.ts'
import { type AnyDType, type CheckpointTensors, type StoredTensor, sortTensors } from './tensor.ts'

/** An open checkpoint. */
export interface Checkpoint extends CheckpointTensors {
  /** Names it in errors. */
  readonly path: string
  readonly config: ModelConfig
}

/** The small files of a model. */
export interface TextFiles {
  /** Names the folder, or what stands for one, in errors. */
  readonly path: string
  /** A text file, such as tokenizer.json; undefined where there is none. */
  readText(name: string): Promise<string | undefined>
  /** What a JSON file holds, where it is made of something else and would have to be written to be read; undefined for other files. */
  parsed?(name: string): unknown
}

/** All that a platform has to offer of a model. */
export interface CheckpointFiles extends TextFiles {
  /** Opens a file; undefined where there is none. The caller closes what it has opened. */
  openSource(name: string): Promise<ByteSource | undefined>
}

/** An open model: its configuration, and tensors that are read when asked for. */
export interface OpenCheckpoint extends Checkpoint, TextFiles {
  /** config.json as parsed. */
  readonly configJson: Readonly<Record<string, unknown>>
}

/**
 * Reads config.json and the headers of the weights, no weight.
 *
 * @throws checkpoint error for a missing or damaged file and a missing shard; unsupported error for an unknown architecture
 */
export async function openCheckpoint({ path, readText, openSource }: CheckpointFiles): Promise<OpenCheckpoint> {
  const file = fileOf(path, 'config.json')
  const configJson = await readJson({ path, readText }, 'config.json')
  if (configJson === undefined) {
    throw checkpointError(`${file} is missing; a model's folder has config.json beside its weights`, { file })
  }
  const config = parseModelConfig(configJson, file)
  if (!isJsonObject(configJson)) throw checkpointError(`${file} should be a JSON object`, { file })
  const tensors = await readTensorHeaders({ path, readText, openSource })
  requireLayers(config, tensors.length, file)
  return { path, config, configJson, ...sortTensors(tensors), readText }
}

/** The single file comes first, as in transformers: an index and shards beside it are what a merge or an older save left. */
async function readTensorHeaders({ path, readText, openSource }: CheckpointFiles): Promise<readonly StoredTensor<AnyDType>[]> {
  const source = await openSource(singleWeightsName)
  if (source) return (await parseSafetensors(source)).tensors
  const indexText = await readText(safetensorsIndexName)
  if (indexText === undefined) {
    throw checkpointError(`${path}: no weights: expected ${singleWeightsName} or ${safetensorsIndexName}`, { file: path })
  }
  const shards = parseSafetensorsIndex(indexText, fileOf(path, safetensorsIndexName))
  return await parseShards(shards, async (name) => {
    const shard = await openSource(name)
    if (shard) return shard
    const file = fileOf(path, name)
    throw checkpointError(`${file} is missing; ${safetensorsIndexName} puts tensors into it`, { file })
  })
}

/** A JSON file of a model; undefined where there is none. @throws as parseJsonText */
export async function readJson(files: TextFiles, name: string): Promise<unknown> {
  const parsed = files.parsed?.(name)
  if (parsed !== undefined) return parsed
  const text = await files.readText(name)
  return text === undefined ? undefined : parseJsonText(text, fileOf(files.path, name))
}

/** A file's name in errors. */
export const fileOf = (path: string, name: string): string => `${path.replace(/[/\\]$/, '')}/${name}`

/** Whether the output matrix is the embedding: as config.json says, or as the tensors show where it is silent. */
export const isTied = ({
  config,
  tensors,
  otherTensors,
}: {
  readonly config: ModelConfig
  readonly tensors: ReadonlyMap<string, unknown>
  readonly otherTensors?: ReadonlyMap<string, unknown>
}): boolean => config.tieWordEmbeddings ?? !(tensors.has('lm_head.weight') || otherTensors?.has('lm_head.weight'))
