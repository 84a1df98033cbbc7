/** A tokenizer's files: read from a model's folder, and as they are written into one. */
import { jsonBytes } from '../checkpoint/json-text.ts'
import { fileOf, readJson, type TextFiles } from '../checkpoint/open-checkpoint.ts'
import { checkpointError } from '../errors.ts'
import type { TokenizerFiles } from './types.ts'

/** @throws checkpoint error where there is no tokenizer.json; as parseJsonText */
export async function tokenizerFiles(files: TextFiles): Promise<TokenizerFiles> {
  const tokenizerJson = await readJson(files, 'tokenizer.json')
  if (tokenizerJson === undefined) {
    throw checkpointError(
      `${files.path}: tokenizer.json is missing; text needs it. Token ids work without: parscale score --ids 1,2,3`,
      { file: fileOf(files.path, 'tokenizer.json') },
    )
  }
  return {
    tokenizerJson,
    tokenizerConfig: await readJson(files, 'tokenizer_config.json'),
    chatTemplate: await files.readText('chat_template.jinja'),
  }
}

/** A tokenizer as the files of a model's folder, by name. */
export function tokenizerFileBytes({ tokenizerJson, tokenizerConfig, chatTemplate }: TokenizerFiles): Map<string, Uint8Array> {
  const files = new Map([['tokenizer.json', jsonBytes(tokenizerJson)]])
  if (tokenizerConfig != null) files.set('tokenizer_config.json', jsonBytes(tokenizerConfig))
  if (chatTemplate !== undefined) files.set('chat_template.jinja', new TextEncoder().encode(chatTemplate))
  return files
}
