/**
 * Checkpoints in several safetensors files: `model.safetensors.index.json` says which tensor lies in which file.
 * The index is the authority: of each shard only the tensors that the index puts there are taken.
 */
import { checkpointError } from '../errors.ts'
import type { ByteSource } from './byte-source.ts'
import { isJsonObject, parseJsonText } from './json-text.ts'
import { parseSafetensors } from './safetensors.ts'
import type { AnyDType, StoredTensor } from './tensor.ts'

/** The weights of a checkpoint in one file. */
export const singleWeightsName = 'model.safetensors'
export const safetensorsIndexName = 'model.safetensors.index.json'

/**
 * Reads `weight_map`: shard file name by tensor name.
 *
 * @throws checkpoint error when the index is malformed or a shard's name is not a plain file name beside the index
 */
export function parseSafetensorsIndex(text: string, file: string): ReadonlyMap<string, string> {
  const json = parseJsonText(text, file)
  const weightMap = isJsonObject(json) ? json.weight_map : undefined
  if (!isJsonObject(weightMap)) {
    throw checkpointError(`${file}: weight_map should map tensor names to file names`, { file, found: weightMap })
  }
  const shards = new Map<string, string>()
  for (const [tensor, shard] of Object.entries(weightMap)) {
    // A name with a separator could lead out of the folder that the user pointed at.
    if (typeof shard !== 'string' || !/^[^/\\:\0]+\.safetensors$/.test(shard)) {
      throw checkpointError(
        `${file}: tensor ${tensor} should lie in a .safetensors file beside the index, but its shard is ${JSON.stringify(shard)}`,
        { file, tensor, found: shard },
      )
    }
    shards.set(tensor, shard)
  }
  return shards
}

/**
 * Parses every shard of an index.
 *
 * @param openShard opens a file beside the index; its own error for a missing file should name the file
 * @throws checkpoint error when a tensor of the index is not in its shard
 */
export async function parseShards(
  weightMap: ReadonlyMap<string, string>,
  openShard: (shard: string) => Promise<ByteSource>,
): Promise<StoredTensor<AnyDType>[]> {
  const byShard = new Map<string, ReadonlyMap<string, StoredTensor<AnyDType>>>()
  for (const shard of new Set(weightMap.values())) {
    const { tensors } = await parseSafetensors(await openShard(shard))
    byShard.set(shard, new Map(tensors.map((tensor) => [tensor.name, tensor])))
  }
  return Array.from(weightMap, ([name, shard]) => {
    const tensor = byShard.get(shard)!.get(name)
    if (!tensor) {
      throw checkpointError(`the index puts tensor ${name} into ${shard}, but it is not there; the two do not belong together`, {
        file: shard,
        tensor: name,
      })
    }
    return tensor
  })
}
