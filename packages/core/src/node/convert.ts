/** Turns a model, a Hugging Face folder or a GGUF file, into a Hugging Face folder, keeping or changing its element type. */
import { torchNames } from '../checkpoint/config-json.ts'
import { readGgufModel } from '../checkpoint/gguf-model.ts'
import { isJsonObject, parseJsonBytes } from '../checkpoint/json-text.ts'
import type { StoredDType } from '../checkpoint/tensor.ts'
import { castStream, streamTensor } from '../checkpoint/tensor-stream.ts'
import { companionFiles } from './companion-files.ts'
import { openFileSource } from './file-source.ts'
import { ggufContents } from './gguf-cache.ts'
import { openModelFolder } from './model-folder.ts'
import { isGgufFile } from './open-model.ts'
import { type FolderContents, jsonBytes, type WriteFolderOptions, writeModelFolder } from './write-folder.ts'

export interface ConvertOptions extends WriteFolderOptions {
  /** Element type of all weights; 'keep' (default): each as stored, quantised blocks as F32. Narrowing rounds to even. */
  readonly dtype?: 'keep' | StoredDType
}

/**
 * Writes a model anew.
 *
 * @param source a model's folder or a .gguf file
 * @param directory must not exist, or be an empty folder
 * @throws as openModelFolder, readGgufModel and writeModelFolder; then nothing is left behind
 */
export async function convertModel(source: string, directory: string, options: ConvertOptions = {}): Promise<void> {
  const { dtype = 'keep', ...writing } = options
  const { contents, close } = (await isGgufFile(source)) ? await openGguf(source) : await openFolder(source)
  try {
    await writeModelFolder(directory, dtype === 'keep' ? contents : withDType(contents, dtype), writing)
  } finally {
    await close()
  }
}

interface OpenContents {
  readonly contents: FolderContents
  close(): Promise<void>
}

async function openGguf(path: string): Promise<OpenContents> {
  const source = await openFileSource(path)
  try {
    return { contents: ggufContents(await readGgufModel(source), path), close: source.close }
  } catch (error) {
    await source.close()
    throw error
  }
}

async function openFolder(path: string): Promise<OpenContents> {
  const model = await openModelFolder(path)
  try {
    const files = await companionFiles(path)
    const tensors = [...model.tensors.values(), ...model.otherTensors.values()].map((tensor) => streamTensor(tensor))
    return { contents: { files, tensors }, close: model.close }
  } catch (error) {
    await model.close()
    throw error
  }
}

/** The same model with all weights in one element type, and config.json saying so. */
function withDType({ files, tensors }: FolderContents, dtype: StoredDType): FolderContents {
  const config = parseJsonBytes(files.get('config.json')!, 'config.json')
  if (!isJsonObject(config)) throw new TypeError('config.json was parsed as an object before')
  // transformers 5 calls the key dtype.
  const key = 'dtype' in config ? 'dtype' : 'torch_dtype'
  return {
    files: new Map(files).set('config.json', jsonBytes({ ...config, [key]: torchNames[dtype] })),
    tensors: tensors.map((tensor) => castStream(tensor, dtype)),
  }
}
