/** The files of a model that a page can run by itself. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openToRead } from '@parscale/core/internal/node/disk'

export interface ModelFilesHere {
  /** Paths below the model's folder, with slashes, and bytes. */
  list(): Promise<{ path: string; size: number }[]>
  /** Bytes of a file of the list from `from` to before `end`, as they are read from disk. */
  read(path: string, from: number, end: number): ReadableStream<Uint8Array>
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
      const files = await Promise.all(
        paths.sort().map(async (path) => {
          // A link to nowhere is no file.
          const about = await stat(join(folder, path)).catch(() => undefined)
          return about?.isFile() ? [{ path, size: about.size }] : []
        }),
      )
      return files.flat()
    },
    read: (path, from, end) => streamed(join(folder, path), from, end),
  }
}

const pieceBytes = 2 ** 20

function streamed(path: string, from: number, end: number): ReadableStream<Uint8Array> {
  let at = from
  const file = openToRead(path)
  file.catch(() => {}) // told by the first pull
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const handle = await file
      const bytes = new Uint8Array(Math.min(pieceBytes, end - at))
      const { bytesRead } = await handle.read(bytes, 0, bytes.byteLength, at)
      at += bytesRead
      if (bytesRead > 0) controller.enqueue(bytes.subarray(0, bytesRead))
      if (bytesRead > 0 && at < end) return
      await handle.close()
      controller.close()
    },
    cancel: async () => await (await file).close(),
  })
}

async function filesBelow(folder: string, below = ''): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true })
  const paths = entries.map(async (entry) => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    return entry.isDirectory() ? await filesBelow(folder, path) : [path]
  })
  return (await Promise.all(paths)).flat()
}
