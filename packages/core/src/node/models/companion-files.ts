/** The small files beside a model's weights: tokenizer, chat template, generation settings, card. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isCompanion } from '../../contents/folder-contents.ts'

/** A model's small files, by name. @throws the file system's errors */
export async function companionFiles(folder: string): Promise<Map<string, Uint8Array>> {
  const names = (await readdir(folder)).filter(isCompanion).sort()
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)))
}

/** Of these, what a model that is made from another one keeps: its configuration and its card are its own. */
export async function inheritedFiles(folder: string): Promise<Map<string, Uint8Array>> {
  const files = await companionFiles(folder)
  for (const own of ['config.json', 'README.md']) files.delete(own)
  return files
}
