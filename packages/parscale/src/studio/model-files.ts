/** The files of a model that a page can run by itself. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'

export interface ModelFilesHere {
  /** Paths below the model's folder, with slashes, and bytes. */
  list(): Promise<{ path: string; size: number }[]>
  read(path: string): Promise<Uint8Array>
}

const wanted =
  /(?:^|\/)(?:config\.json|generation_config\.json|tokenizer\.json|tokenizer_config\.json|chat_template\.jinja|[\w.-]+\.safetensors(?:\.index\.json)?)$/

/** @param model a folder, or a .gguf file */
export function modelFiles(model: string): ModelFilesHere {
  const isFile = /\.gguf$/i.test(model)
  const folder = isFile ? dirname(model) : model
  return {
    async list() {
      const paths = isFile ? [basename(model)] : (await filesBelow(folder)).filter((path) => wanted.test(path))
      return await Promise.all(paths.sort().map(async (path) => ({ path, size: (await stat(join(folder, path))).size })))
    },
    read: (path) => readFile(join(folder, path)),
  }
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)).split(sep).join('/'))
}
