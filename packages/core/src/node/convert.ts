/** Turns a model, a Hugging Face folder or a GGUF file, into a Hugging Face folder, keeping or changing its element type. */
import type { ModelConfig } from '../checkpoint/config.ts'
import { torchNames } from '../checkpoint/config-json.ts'
import { isJsonObject, parseJsonBytes } from '../checkpoint/json-text.ts'
import { quantisationOf } from '../checkpoint/quantised-tensor.ts'
import type { StoredDType } from '../checkpoint/tensor.ts'
import { castStream } from '../checkpoint/tensor-stream.ts'
import { usageError } from '../errors.ts'
import { openModelContents } from './model-contents.ts'
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
  const model = await openModelContents(source)
  try {
    if (dtype !== 'keep') refuseQuantised(model.config, source)
    const { files, tensors } = dtype === 'keep' ? model : withDType(model, dtype)
    await writeModelFolder(directory, { files, tensors }, writing)
  } finally {
    await model.close()
  }
}

function refuseQuantised({ raw }: ModelConfig, source: string): void {
  const quantised = quantisationOf(raw)
  if (!quantised) return
  throw usageError(
    `${source}: is quantised to ${quantised.bits} bits, of which floats are not made again; convert the model that it was made from`,
    { file: source },
  )
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
