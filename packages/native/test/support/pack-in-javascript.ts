/**
 * A plan's packed file as JavaScript makes it, one tensor after the other, which is how pages do it: what the module's is compared with, byte by
 * byte. Rounding is that of core's checkpoint/quantise.ts.
 */
import { unsupportedError } from '@parscale/core/internal'
import type { StoredData } from '@parscale/core/internal/model'
import { type FileHandle, openToRead, writeNewFile } from '@parscale/core/internal/node/disk'
import { type PackPlan, packedBytes } from '@parscale/core/internal/packed'

/** @param path must not be there */
export async function packInJavaScript(path: string, plan: PackPlan): Promise<void> {
  const files = new SourceFiles()
  try {
    await writeNewFile(path, (_, out) => writeTensors(out, plan, files))
  } finally {
    await files.close()
  }
}

async function writeTensors(
  out: FileHandle,
  { tensors, header, offsets, totalBytes }: PackPlan,
  files: SourceFiles,
): Promise<void> {
  await writeAt(out, header, 0)
  for (const [i, tensor] of tensors.entries()) {
    let at = offsets[i]!
    for await (const bytes of packedBytes(tensor, (...part) => files.read(...part))) {
      await writeAt(out, bytes, at)
      at += bytes.byteLength
    }
  }
  await out.truncate(totalBytes) // the last tensor may end before
}

/** A write may take less than it is given: the disk's last bytes, say, before the next one fails. */
async function writeAt(out: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; )
    done += (await out.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten
}

/** Reads parts of a checkpoint's files, each of which is opened once. */
class SourceFiles {
  readonly #open = new Map<string, Promise<FileHandle>>()

  async read({ path, offset, byteLength, made }: StoredData, from: number, length: number): Promise<ArrayBuffer> {
    if (made) return (await made.read(offset + from, length)).slice().buffer
    let file = this.#open.get(path)
    if (!file) {
      file = openToRead(path)
      this.#open.set(path, file)
    }
    const bytes = new Uint8Array(Math.min(length, Math.max(0, byteLength - from)))
    const { bytesRead } = await (await file).read(bytes, 0, bytes.byteLength, offset + from)
    if (bytesRead !== length)
      throw unsupportedError(`${path}: ends within a tensor, ${length} bytes were expected at ${offset + from}`)
    return bytes.buffer
  }

  async close(): Promise<void> {
    for (const file of this.#open.values()) await (await file).close()
  }
}
