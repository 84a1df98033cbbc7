/** The files of a model that a page can run by itself. */
import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { openToRead } from '@parscale/core/internal/node/disk'

export interface ModelFilesHere {
  list(): Promise<FileHere[]>
  /** Bytes of a file of the list from `from` to before `end`, as they are read from disk. */
  read(path: string, from: number, end: number): ReadableStream<Uint8Array>
}

export interface FileHere {
  /** Below the model's folder, with slashes. */
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Another one where the file is another: a page knows by it whether what it keeps is still the same. */
  readonly tag: string
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
          return about?.isFile() ? [{ path, size: about.size, tag: `"${about.size}-${Math.round(about.mtimeMs)}"` }] : []
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
  // Opened by the first pull: whoever asks for the headers alone leaves nothing open.
  let file: ReturnType<typeof openToRead> | undefined
  const source = {
    async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
      file ??= openToRead(path)
      const handle = await file
      const bytes = new Uint8Array(Math.min(pieceBytes, end - at))
      const { bytesRead } = await handle.read(bytes, 0, bytes.byteLength, at)
      at += bytesRead
      if (bytesRead > 0) controller.enqueue(bytes.subarray(0, bytesRead))
      if (bytesRead > 0 && at < end) return
      await handle.close()
      controller.close()
    },
    cancel: async () => await (await file)?.close(),
  }
  return new ReadableStream(source, { highWaterMark: 0 })
}

async function filesBelow(folder: string, below = ''): Promise<string[]> {
  const entries = await readdir(join(folder, below), { withFileTypes: true })
  const paths = entries.map(async (entry) => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    return entry.isDirectory() ? await filesBelow(folder, path) : [path]
  })
  return (await Promise.all(paths)).flat()
}

/** Answers for a file below the model's folder, by its path behind /studio/model/; `files.json` is the list of them. */
export async function modelFile(request: Request, model: string): Promise<Response> {
  const files = modelFiles(model)
  const list = await files.list()
  const path = decoded(new URL(request.url).pathname.slice('/studio/model/'.length))
  if (path === 'files.json') return Response.json(list)
  const file = list.find((each) => each.path === path)
  return file ? ranged(files, file, request) : new Response(null, { status: 404 })
}

/** Undefined for what is no text behind its percent signs. */
function decoded(path: string): string | undefined {
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

/** A file, whole or in part. */
function ranged(files: ModelFilesHere, { path, size, tag }: FileHere, request: Request): Response {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '') ?? []
  const headers = {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    etag: tag,
    'cross-origin-resource-policy': 'same-origin',
  }
  if (from === undefined)
    return new Response(files.read(path, 0, size), { headers: { ...headers, 'content-length': String(size) } })
  const end = Math.min(size - 1, to ? Number(to) : Infinity)
  if (Number(from) > end) return new Response(null, { status: 416, headers: { 'content-range': `bytes */${size}` } })
  return new Response(files.read(path, Number(from), end + 1), {
    status: 206,
    headers: {
      ...headers,
      'content-length': String(end + 1 - Number(from)),
      'content-range': `bytes ${from}-${end}/${size}`,
    },
  })
}
