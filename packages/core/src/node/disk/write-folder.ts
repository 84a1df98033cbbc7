/** Writes a model's folder, all or nothing: its small files, its tensors in shards, and folders of the same kind within it. */
import { dirname, join } from 'node:path'
import { jsonBytes } from '../../checkpoint/json-text.ts'
import { safetensorsIndexName } from '../../checkpoint/safetensors-index.ts'
import { planShards, shardIndex, writeSafetensors } from '../../checkpoint/safetensors-writer.ts'
import { streamBytes, type TensorStream } from '../../checkpoint/tensor-stream.ts'
import type { FolderContents } from '../../contents/folder-contents.ts'
import { makeFolder } from './make-folder.ts'
import { syncFolder, writeNewFile } from './whole-file.ts'
import { type WholeFolderOptions, writeWholeFolder } from './whole-folder.ts'

export interface WriteProgress {
  /** Bytes of tensor data written so far, and in all. */
  readonly doneBytes: number
  readonly totalBytes: number
}

export interface WriteFolderOptions extends Pick<WholeFolderOptions, 'advice' | 'listing' | 'source' | 'origin' | 'signal'> {
  /** Tensor data per safetensors file, in bytes. Default 5e9, as transformers. */
  readonly maxShardBytes?: number
  readonly onProgress?: (progress: WriteProgress) => void
}

/**
 * Writes a model in Hugging Face's layout.
 *
 * @param directory must not exist, or be an empty folder
 * @throws usage error when the target is taken; resource error when the disk is full; the signal's reason when aborted
 */
export function writeModelFolder(directory: string, contents: FolderContents, options: WriteFolderOptions = {}): Promise<void> {
  return writeWholeFolder(directory, (temporary) => writeContents(temporary, contents, options), options)
}

async function writeContents(folder: string, contents: FolderContents, options: WriteFolderOptions): Promise<void> {
  const { onProgress, signal } = options
  const all = new Map([...(contents.folders ?? []), ['', contents]])
  const totalBytes = [...all.values()].flatMap(({ tensors }) => tensors).reduce((sum, tensor) => sum + streamBytes(tensor), 0)
  let doneBytes = 0
  const watched = (tensor: TensorStream): TensorStream => ({
    ...tensor,
    async *chunks() {
      for await (const bytes of tensor.chunks()) {
        signal?.throwIfAborted()
        yield bytes
        doneBytes += bytes.byteLength
        onProgress?.({ doneBytes, totalBytes })
      }
    },
  })
  for (const [path, { files, tensors }] of all) {
    const inner = join(folder, path)
    await makeFolder(inner)
    await writeFiles(inner, { files, tensors: tensors.map(watched) }, options)
    if (path) for (const made of [inner, dirname(inner)]) await syncFolder(made)
  }
}

async function writeFiles(folder: string, { files, tensors }: FolderContents, options: WriteFolderOptions): Promise<void> {
  const shards = planShards(tensors, options.maxShardBytes ?? 5e9)
  for (const shard of shards) await writeNewFile(join(folder, shard.file), (sink) => writeSafetensors(sink, shard.tensors))
  const small = new Map(files)
  if (shards.length > 1) small.set(safetensorsIndexName, jsonBytes(shardIndex(shards)))
  for (const [name, bytes] of small) await writeNewFile(join(folder, name), bytes)
}
