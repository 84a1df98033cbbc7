/** A model as what would be written of it, whatever it lies in: a Hugging Face folder or a GGUF file. Read when asked for. */
import { type ModelConfig, parseModelConfig } from '../../checkpoint/config.ts'
import { blockFormats } from '../../checkpoint/gguf/blocks.ts'
import { type GgufStream, readGgufModel } from '../../checkpoint/gguf/model.ts'
import { streamBytes, streamTensor, type TensorStream } from '../../checkpoint/tensor-stream.ts'
import { isTied } from '../../generation/index.ts'
import { backboneParameters, elementCount } from '../../model/index.ts'
import { openFileSource } from '../disk/file-source.ts'
import type { FolderContents } from '../disk/write-folder.ts'
import { companionFiles } from './companion-files.ts'
import { ggufContents } from './gguf-cache.ts'
import { openModelFolder } from './model-folder.ts'
import { isGgufFile } from './open-model.ts'

export interface ModelContents extends FolderContents {
  readonly config: ModelConfig
  readonly tensors: readonly (TensorStream | GgufStream)[]
  close(): Promise<void>
}

/**
 * Opens a model without its further stream sets.
 *
 * @param path a model's folder or a .gguf file
 * @throws as openModelFolder and readGgufModel
 */
export async function openModelContents(path: string): Promise<ModelContents> {
  return (await isGgufFile(path)) ? await openGguf(path) : await openFolder(path)
}

async function openGguf(path: string): Promise<ModelContents> {
  const source = await openFileSource(path)
  try {
    const model = await readGgufModel(source)
    const config = parseModelConfig(model.configJson, path)
    return { config, ...ggufContents(model, path), tensors: model.tensors, close: source.close }
  } catch (error) {
    await source.close()
    throw error
  }
}

async function openFolder(path: string): Promise<ModelContents> {
  const model = await openModelFolder(path)
  try {
    const files = await companionFiles(path)
    const tensors = [...model.tensors.values(), ...model.otherTensors.values()].map((tensor) => streamTensor(tensor))
    return { config: model.config, files, tensors, close: model.close }
  } catch (error) {
    await model.close()
    throw error
  }
}

/** Whether the output matrix is the embedding. */
export const tiedOf = ({ config, tensors }: Pick<ModelContents, 'config' | 'tensors'>): boolean =>
  isTied({ config, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) })

/** The backbone's tensors as they are read without quantising: what stream sets name by its digest. */
export function backboneStreams(model: Pick<ModelContents, 'config' | 'tensors'>): TensorStream[] {
  const byName = new Map(model.tensors.map((stream) => [stream.name, stream]))
  return backboneParameters(model.config, tiedOf(model)).flatMap(({ name }) => byName.get(name) ?? [])
}

/** Bytes that a tensor takes where it lies. */
export function storedBytes(stream: TensorStream | GgufStream): number {
  if (!('type' in stream)) return streamBytes(stream)
  const { elements, bytes } = blockFormats[stream.type]
  return (elementCount(stream.shape) / elements) * bytes
}
