/** What belongs to a model besides weights, as small files in its folder. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TokenizerFiles } from '../../tokenizer/index.ts'
import { jsonBytes } from '../disk/whole-folder.ts'

/** Configs, tokenizer, remote code, licence and card. */
const companions =
  /^((config|generation_config|special_tokens_map|added_tokens|vocab|chat_template|tokenizer|tokenizer_config)\.json|merges\.txt|vocab\.txt|tokenizer\.model|chat_template\.jinja|\w+\.py|LICENSE(\.\w+)?|README\.md)$/

/** A model's small files, by name. @throws the file system's errors */
export async function companionFiles(folder: string): Promise<Map<string, Uint8Array>> {
  const names = (await readdir(folder)).filter((name) => companions.test(name)).sort()
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)))
}

/** Of these, what a model that is made from another one keeps: its configuration and its card are its own. */
export async function inheritedFiles(folder: string): Promise<Map<string, Uint8Array>> {
  const files = await companionFiles(folder)
  for (const own of ['config.json', 'README.md']) files.delete(own)
  return files
}

/** A tokenizer as the files of a model's folder, by name. */
export function tokenizerFileBytes({ tokenizerJson, tokenizerConfig, chatTemplate }: TokenizerFiles): Map<string, Uint8Array> {
  const files = new Map([['tokenizer.json', jsonBytes(tokenizerJson)]])
  if (tokenizerConfig != null) files.set('tokenizer_config.json', jsonBytes(tokenizerConfig))
  if (chatTemplate !== undefined) files.set('chat_template.jinja', new TextEncoder().encode(chatTemplate))
  return files
}
