/** Folders that are not written yet, as checkpoints whose tensors have types and shapes and cannot be read: for who asks what they will take. */
import type { ByteSource } from '../checkpoint/byte-source.ts'
import { parseModelConfig } from '../checkpoint/config.ts'
import type { Checkpoint } from '../checkpoint/open-checkpoint.ts'
import { type AnyDType, type StoredTensor, sortTensors } from '../checkpoint/tensor.ts'
import { streamBytes } from '../checkpoint/tensor-stream.ts'
import { configOf, type FolderContents } from './folder-contents.ts'

/** @param path of the folder @throws as parseModelConfig */
export function unwrittenFolder(path: string, { files, tensors }: Pick<FolderContents, 'files' | 'tensors'>): Checkpoint {
  const config = parseModelConfig(configOf(files), `${path}/config.json`)
  const stored = tensors.map((stream): StoredTensor<AnyDType> => {
    const { name, dtype, shape } = stream
    return { name, dtype, shape, source: nowhere(path), offset: 0, byteLength: streamBytes(stream) }
  })
  return { path, config, ...sortTensors(stored) }
}

/** What a model that is made while it is read will be once it is written. */
export function unwrittenCopy({ path, config, tensors, otherTensors }: Checkpoint): Checkpoint {
  const all: StoredTensor<AnyDType>[] = [...tensors.values(), ...otherTensors.values()]
  return { path, config, ...sortTensors(all.map((tensor) => ({ ...tensor, source: nowhere(path), offset: 0 }))) }
}

const nowhere = (path: string): ByteSource => ({
  name: `${path}, not written yet`,
  size: 0,
  read: () => Promise.reject(new TypeError(`${path}: is not written yet`)),
})
