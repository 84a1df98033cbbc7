/** Turns a model, a Hugging Face folder or a GGUF file, into a Hugging Face folder, keeping or changing its element type. */
import { basename } from 'node:path'
import type { ModelConfig } from '../../checkpoint/config.ts'
import { torchNames } from '../../checkpoint/config-json.ts'
import { isJsonObject, parseJsonBytes } from '../../checkpoint/json-text.ts'
import { quantisationOf } from '../../checkpoint/quantised-tensor.ts'
import type { StoredDType } from '../../checkpoint/tensor.ts'
import { castStream, type TensorStream } from '../../checkpoint/tensor-stream.ts'
import { usageError } from '../../errors.ts'
import { jsonBytes } from '../disk/whole-folder.ts'
import { type FolderContents, type WriteFolderOptions, writeModelFolder } from '../disk/write-folder.ts'
import { backboneDigestKey, tensorsDigest } from './backbone-digest.ts'
import { backboneStreams, type ModelContents, openModelContents } from './model-contents.ts'
import { streamSetFolders } from './stream-set-folders.ts'

export interface ConvertOptions extends WriteFolderOptions {
  /** Element type of all weights; 'keep' (default): each as stored, quantised blocks as F32. Narrowing rounds to even. */
  readonly dtype?: 'keep' | StoredDType
}

/**
 * Writes a model anew, with its stream sets in streams/. Where the backbone's element type changes, sets name the new one.
 *
 * @param source a model's folder or a .gguf file
 * @param directory must not exist, or be an empty folder
 * @throws as openModelFolder, readGgufModel and writeModelFolder; then nothing is left behind
 */
export async function convertModel(source: string, directory: string, options: ConvertOptions = {}): Promise<void> {
  const { dtype = 'keep', ...writing } = options
  const model = await openModelContents(source)
  const sets = new Map<string, ModelContents>()
  try {
    for (const path of await streamSetFolders(source)) sets.set(`streams/${basename(path)}`, await openModelContents(path))
    for (const { config } of dtype === 'keep' ? [] : [model, ...sets.values()]) refuseQuantised(config, source)
    const { files, tensors } = dtype === 'keep' ? model : withDType(model, dtype)
    const folders = dtype === 'keep' ? sets : await convertedSets(model, tensors, sets, dtype, writing.signal)
    await writeModelFolder(directory, { files, tensors, folders }, writing)
  } finally {
    await Promise.all([model, ...sets.values()].map((open) => open.close()))
  }
}

/** Sets that name their backbone by its digest name it by that of its new tensors. */
async function convertedSets(
  model: ModelContents,
  tensors: readonly TensorStream[],
  sets: ReadonlyMap<string, FolderContents>,
  dtype: StoredDType,
  signal: AbortSignal | undefined,
): Promise<Map<string, FolderContents>> {
  if (sets.size === 0) return new Map()
  const before = await tensorsDigest(backboneStreams(model), signal)
  const after = await tensorsDigest(backboneStreams({ config: model.config, tensors }), signal)
  const converted = (set: FolderContents): FolderContents => {
    const config = configOf(set.files)
    if (config[backboneDigestKey] !== before) return withDType(set, dtype)
    const named = jsonBytes({ ...config, [backboneDigestKey]: after })
    return withDType({ ...set, files: new Map(set.files).set('config.json', named) }, dtype)
  }
  return new Map([...sets].map(([path, set]) => [path, converted(set)]))
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
  const config = configOf(files)
  // transformers 5 calls the key dtype.
  const key = 'dtype' in config ? 'dtype' : 'torch_dtype'
  return {
    files: new Map(files).set('config.json', jsonBytes({ ...config, [key]: torchNames[dtype] })),
    tensors: tensors.map((tensor) => castStream(tensor, dtype)),
  }
}

function configOf(files: ReadonlyMap<string, Uint8Array>) {
  const config = parseJsonBytes(files.get('config.json')!, 'config.json')
  if (!isJsonObject(config)) throw new TypeError('config.json was parsed as an object before')
  return config
}
