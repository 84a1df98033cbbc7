/** A command's folder at storage: written here, sent, and there for readers when its manifest is. */
import { createHash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { usageError } from '@parscale/core/internal'
import { temporaryFolder } from '@parscale/core/internal/node'
import { cacheFolder } from '../home-folder.ts'
import type { Io } from '../terminal/io.ts'
import { type Address, below, isStorageName, nameOf, parseStorageName, prefixOf } from './address.ts'
import { Bucket } from './client.ts'
import { StorageLock } from './lock.ts'
import { lockName, type Manifest, readManifest, writeManifest } from './manifest.ts'
import { localFiles } from './stored-files.ts'
import { sweepLeftovers } from './sweep-leftovers.ts'
import { uploadFile } from './upload.ts'

/**
 * Runs `write` with the folder that it is to make: `out` itself, or for an s3:// name one here, which is sent afterwards.
 *
 * @throws usage error where the target is taken; storage errors; what `write` throws
 */
export async function withTarget<T>(io: Io, out: string, flag: string, write: (folder: string) => Promise<T>): Promise<T> {
  if (!isStorageName(out)) return await write(out)
  const address = parseStorageName(out, flag)
  const bucket = await Bucket.open(address.bucket, io.signal)
  try {
    await refuseTaken(bucket, address)
    const lock = await StorageLock.take(bucket, address, { signal: io.signal })
    let whole = false
    try {
      // Of the same name in every process, but for what tells processes apart.
      const id = createHash('sha256')
        .update(`${bucket.host}\n${nameOf(address)}`)
        .digest('hex')
        .slice(0, 16)
      const local = await temporaryFolder(join(cacheFolder(io.env), 's3', 'outgoing', id))
      try {
        const result = await write(local.path)
        await send(io, bucket, address, local.path)
        whole = true
        return result
      } finally {
        await local.remove()
      }
    } finally {
      await lock.release(!whole && (await isTouched(bucket, address))).catch(() => {}) // stale once this process is gone
    }
  } finally {
    bucket.close()
  }
}

async function send(io: Io, bucket: Bucket, address: Address, folder: string): Promise<void> {
  const files = await localFiles(folder)
  // Who reads without manifests looks for it first.
  files.sort((a, b) => Number(a.path.endsWith('config.json')) - Number(b.path.endsWith('config.json')))
  const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let doneBytes = 0
  const progress = io.progress(`storing ${nameOf(address)}`, 'B')
  const onBytes = (bytes: number) => {
    doneBytes += bytes
    progress.update(doneBytes, totalBytes)
  }
  try {
    for (const { path, bytes, sha256 } of files)
      await uploadFile(
        bucket,
        { path: join(folder, path), key: below(address, path).key, bytes, sha256 },
        { onBytes, signal: io.signal },
      )
    const content: Manifest = {
      format: 1,
      kind: 'folder',
      id: randomUUID(),
      sequence: 0,
      time: new Date().toISOString(),
      files: Object.fromEntries(files.map(({ path, bytes, sha256 }) => [path, { key: path, bytes, sha256 }])),
    }
    await sweepLeftovers(bucket, address, new Set(files.map(({ path }) => below(address, path).key)))
    await writeManifest(bucket, address, content, undefined)
  } finally {
    progress.end()
  }
}

/** @throws usage error where there is something that is not the rest of a writing of ours that was cut short */
export async function refuseTaken(bucket: Bucket, address: Address): Promise<void> {
  const name = nameOf(address)
  if (address.key === '')
    throw usageError(`${name}: name a folder in the bucket, such as ${name}/model`, { flag: 'out', found: name })
  if (await readManifest(bucket, address))
    throw usageError(`${name} is there already; nothing is overwritten: choose another --out`, { file: name })
  let other: string | undefined
  for await (const { key } of bucket.list(prefixOf(address))) {
    // There is a lock: what lies beside it was written under it.
    if (key === below(address, lockName).key) return
    other ??= key
  }
  if (other !== undefined)
    throw usageError(`${name} is not empty (${bucket.name(other)}); nothing is overwritten: choose another --out`, { file: name })
}

/** Whether anything but the lock lies there. */
export async function isTouched(bucket: Bucket, address: Address): Promise<boolean> {
  for await (const { key } of bucket.list(prefixOf(address))) if (key !== below(address, lockName).key) return true
  return false
}
