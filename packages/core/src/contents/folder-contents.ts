/** The files of a model's folder, described but not written yet. Node writes them to disk, a page into OPFS. */
import { isJsonObject, parseJsonBytes } from '../checkpoint/json-text.ts'
import type { TensorStream } from '../checkpoint/tensor-stream.ts'

export type SmallFiles = ReadonlyMap<string, Uint8Array>

export interface FolderContents {
  /** Small files by name: config.json, the tokenizer's, and so on. */
  readonly files: SmallFiles
  readonly tensors: readonly TensorStream[]
  /** Folders within it, by their path, such as streams/p4. */
  readonly folders?: ReadonlyMap<string, Pick<FolderContents, 'files' | 'tensors'>>
}

/** config.json among the files of contents that come from an open model. */
export function configOf(files: SmallFiles): Record<string, unknown> {
  const config = parseJsonBytes(files.get('config.json')!, 'config.json')
  if (!isJsonObject(config)) throw new TypeError('config.json was parsed as an object before')
  return config
}

/** Configs, tokenizer, remote code, licence and card. */
const companions =
  /^((config|generation_config|special_tokens_map|added_tokens|vocab|chat_template|tokenizer|tokenizer_config)\.json|merges\.txt|vocab\.txt|tokenizer\.model|chat_template\.jinja|\w+\.py|LICENSE(\.\w+)?|README\.md)$/

/** Whether a file of a folder belongs to the model, beside its weights. */
export const isCompanion = (name: string): boolean => companions.test(name)
