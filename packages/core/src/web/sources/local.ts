/** Models that lie on this machine: dropped files, folders of the File System Access API, .gguf files. */
import { checkpointError, usageError } from '../../errors.ts'
import type { NamedFile } from '../types.ts'
import { belowConfig } from './dropped-files.ts'
import { type ModelSource, neededFiles, type SourceFile } from './source.ts'

export function filesSource(files: readonly NamedFile[]): ModelSource {
  if (!Array.isArray(files) || files.length === 0) throw usageError('source.files: there are no files; drop a model’s folder')
  const below = belowConfig(files)
  const [only] = below
  if (below.length === 1 && only!.path.endsWith('.gguf')) return blobSource(only!.file, only!.path)
  const name = folderName(files) ?? 'the dropped folder'
  const identity = `files:${below
    .map(({ path, file }) => [path, file.size, changed(file)].join(' '))
    .sort()
    .join()}`
  return { name, identity, gguf: false, list: async () => neededFiles(below.map(localFile), name) }
}

/** A .gguf file. */
export function blobSource(file: Blob, name: string): ModelSource {
  return {
    name,
    identity: `gguf:${name} ${file.size} ${changed(file)}`,
    gguf: true,
    async list() {
      const magic = new TextDecoder().decode(await file.slice(0, 4).arrayBuffer())
      if (magic === 'GGUF') return [localFile({ path: name, file })]
      throw checkpointError(`${name}: is no GGUF file: it begins with ${JSON.stringify(magic)}`, { file: name, found: magic })
    },
  }
}

export function folderSource(folder: FileSystemDirectoryHandle): ModelSource {
  return {
    name: folder.name,
    identity: `folder:${folder.name}`,
    gguf: false,
    async list() {
      const files: NamedFile[] = []
      await walk(folder, '', files)
      return neededFiles(belowConfig(files).map(localFile), folder.name)
    },
  }
}

async function walk(folder: FileSystemDirectoryHandle, above: string, files: NamedFile[]): Promise<void> {
  for await (const [name, handle] of folder.entries()) {
    const path = above + name
    if (handle.kind === 'file') files.push({ path, file: await (handle as FileSystemFileHandle).getFile() })
    else if (path.split('/').length <= 2) await walk(handle as FileSystemDirectoryHandle, `${path}/`, files)
  }
}

const changed = (file: Blob): number => (file as File).lastModified ?? 0

const localFile = ({ path, file }: NamedFile): SourceFile => ({
  path,
  size: file.size,
  tag: String(changed(file)),
  blob: file,
  open: async (from) => ({ from, stream: file.slice(from).stream() as ReadableStream<Uint8Array> }),
})

/** The folder that all files share. */
function folderName(files: readonly NamedFile[]): string | undefined {
  const [first] = files[0]!.path.split('/')
  return files[0]!.path.includes('/') && files.every(({ path }) => path.startsWith(`${first}/`)) ? first : undefined
}
