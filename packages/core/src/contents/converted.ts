/** A model and its stream sets with all weights in another element type, or as they are. */
import { backboneDigestKey, type Hashing, tensorsDigest } from '../checkpoint/backbone-digest.ts'
import type { ModelConfig } from '../checkpoint/config.ts'
import { torchNames } from '../checkpoint/config-json.ts'
import { jsonBytes } from '../checkpoint/json-text.ts'
import { quantisationOf } from '../checkpoint/quantised-tensor.ts'
import type { StoredDType } from '../checkpoint/tensor.ts'
import { castStream, type TensorStream } from '../checkpoint/tensor-stream.ts'
import { usageError } from '../errors.ts'
import { configOf, type FolderContents } from './folder-contents.ts'
import { backboneStreams, type ModelContents } from './model-contents.ts'

/**
 * Where the backbone's element type changes, sets that name it by its digest name the new one.
 *
 * @param sets by their paths in the folder, such as streams/p4
 * @param dtype element type of all weights; 'keep': each as stored, quantised blocks as F32. Narrowing rounds to even
 * @throws usage error for another type where something is quantised; the contents' chunks as castStream
 */
export async function convertedContents(
  model: ModelContents,
  sets: ReadonlyMap<string, ModelContents>,
  dtype: 'keep' | StoredDType,
  hashing: Hashing,
): Promise<FolderContents> {
  if (dtype === 'keep') return { ...model, folders: sets }
  for (const { config } of [model, ...sets.values()]) refuseQuantised(config, model.path)
  const { files, tensors } = withDType(model, dtype)
  return { files, tensors, folders: await convertedSets(model, tensors, sets, dtype, hashing) }
}

/** Sets that name their backbone by its digest name it by that of its new tensors. */
async function convertedSets(
  model: ModelContents,
  tensors: readonly TensorStream[],
  sets: ReadonlyMap<string, FolderContents>,
  dtype: StoredDType,
  hashing: Hashing,
): Promise<Map<string, FolderContents>> {
  if (sets.size === 0) return new Map()
  const before = await tensorsDigest(backboneStreams(model), hashing)
  const after = await tensorsDigest(backboneStreams({ config: model.config, tensors }), hashing)
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
