/**
 * A run at storage. Training works on a folder here, in the cache, and what it saves is sent after each checkpoint: first what the
 * files hold, under keys that no manifest names yet, then the manifest. So a reader finds the checkpoint before or this one, whole.
 * What cannot be sent is tried again with the next checkpoint, and at the end.
 */
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hubError, isParscaleError, type ParscaleError, usageError } from '@parscale/core/internal'
import { makeFolder, moveFile, removeFolder, writeWholeFile } from '@parscale/core/internal/node'
import { cacheFolder } from '../home-folder.ts'
import type { Io } from '../terminal/io.ts'
import { type Address, below, nameOf, parseStorageName } from './address.ts'
import { Bucket } from './client.ts'
import { downloadObject } from './download.ts'
import { codeOf, StorageError } from './errors.ts'
import { objectsOf } from './fetch.ts'
import { StorageLock } from './lock.ts'
import { type FoundManifest, type Manifest, type ManifestFile, manifestName, readManifest, writeManifest } from './manifest.ts'
import { isTouched, refuseTaken } from './store-folder.ts'
import { type KnownHashes, localFiles } from './stored-files.ts'
import { sweepLeftovers } from './sweep-leftovers.ts'
import { uploadFile } from './upload.ts'

/** What this machine knows of a run that it has written: kept beside the run's folder. */
interface Mark {
  readonly id: string
  /** Of the manifest that its folder is as new as; -1: none was written yet. */
  readonly sequence: number
}

/** A run's folder here, and its place at storage. */
export class StoredRun {
  /** `s3://BUCKET/KEY` */
  readonly name: string
  /** Here. */
  readonly folder: string
  readonly #io: Io
  readonly #bucket: Bucket
  readonly #address: Address
  readonly #lock: StorageLock
  readonly #markPath: string
  readonly #hashes: KnownHashes = new Map()
  readonly #id: string
  #manifest: FoundManifest | undefined
  #swept = false
  #failed = false

  private constructor(io: Io, place: Place, lock: StorageLock, id: string, manifest: FoundManifest | undefined) {
    this.#io = io
    this.#bucket = place.bucket
    this.#address = place.address
    this.name = nameOf(place.address)
    this.folder = place.folder
    this.#markPath = place.markPath
    this.#lock = lock
    this.#id = id
    this.#manifest = manifest
  }

  /** For a new run. @throws usage error where there is something already, or somebody is writing; storage errors */
  static async begin(io: Io, name: string): Promise<StoredRun> {
    return await opened(io, name, '--out', async (place) => {
      if (await readManifest(place.bucket, place.address))
        throw usageError(`${name} has a run already: go on with it with --resume, or choose another --out`, { file: name })
      await refuseTaken(place.bucket, place.address)
      const mark = await readMark(place.markPath)
      if (mark?.sequence === -1 && existsSync(join(place.folder, 'config.json')))
        throw usageError(
          `${name}: a run that was begun here has not been stored yet; it lies in ${place.folder}: go on with it with --resume ${name}, or choose another --out`,
          { file: name },
        )
      return await StoredRun.#locked(io, place, async () => {
        await removeFolder(place.folder)
        const id = randomUUID()
        await writeMark(place.markPath, { id, sequence: -1 })
        return { id, manifest: undefined }
      })
    })
  }

  /** For a run that goes on: its folder here is what was stored last, or what this machine has newer. @throws as begin */
  static async resume(io: Io, name: string): Promise<StoredRun> {
    return await opened(io, name, '--resume', (place) =>
      StoredRun.#locked(io, place, async () => {
        const found = await readManifest(place.bucket, place.address)
        const mark = await readMark(place.markPath)
        const isHere = existsSync(join(place.folder, 'config.json'))
        if (!found) {
          if (mark && isHere) return { id: mark.id, manifest: undefined }
          throw usageError(`${name}: there is no run; name one that parscale train --out ${name} has made`, { file: name })
        }
        const { id, sequence, kind } = found.manifest
        if (kind !== 'run') throw usageError(`${name}: is no run, but a folder that a command has stored`, { file: name })
        if (!(mark?.id === id && mark.sequence === sequence && isHere)) {
          await fetchRun(io, place, found)
          await writeMark(place.markPath, { id, sequence })
        }
        return { id, manifest: found }
      }),
    )
  }

  static async #locked(
    io: Io,
    place: Place,
    prepare: () => Promise<{ id: string; manifest: FoundManifest | undefined }>,
  ): Promise<StoredRun> {
    // Without the signal: a run is stored to its end, and its lock released, also after a Ctrl-C.
    const bucket = await Bucket.open(place.address.bucket)
    try {
      const lock = await StorageLock.take(bucket, place.address, { signal: io.signal })
      try {
        const { id, manifest } = await prepare()
        return new StoredRun(io, { ...place, bucket }, lock, id, manifest)
      } catch (error) {
        await lock.release(await isTouched(bucket, place.address).catch(() => true)).catch(() => {})
        throw error
      }
    } catch (error) {
      bucket.close()
      throw error
    }
  }

  /** After a checkpoint: sends what is new. What fails is said once. @throws usage error where another process has the run now */
  async saved(): Promise<void> {
    try {
      // Where it failed before, one question, and not all the tries that storing takes: training waits meanwhile.
      if (this.#failed) await this.#bucket.find(below(this.#address, manifestName).key)
      await this.#store()
      this.#stored()
    } catch (error) {
      if (!isPassing(error)) throw error
      if (!this.#failed)
        this.#io.stderr(
          `warning: ${error.message}\n  training goes on; it is stored with the next checkpoint, and lies in ${this.folder} until then\n`,
        )
      this.#failed = true
    }
  }

  /** At the end. @throws storage error where it cannot be stored, with where it lies */
  async finish(): Promise<void> {
    try {
      await this.#store()
      this.#stored()
    } catch (error) {
      if (!isPassing(error)) throw error
      throw hubError(
        `${error.message}; the run is finished and lies in ${this.folder}, but not all of it is stored: try again with parscale train --resume ${this.name}`,
        { file: this.name, found: error.facts.found },
      )
    }
  }

  async close(): Promise<void> {
    // Where it cannot be said, the lock is stale once this process is gone.
    await this.#lock.release(this.#manifest === undefined && (await this.#isTouched())).catch(() => {})
    this.#bucket.close()
  }

  #stored(): void {
    if (this.#failed) this.#io.stderr(`${this.name}: stored again\n`)
    this.#failed = false
  }

  #isTouched(): Promise<boolean> {
    return isTouched(this.#bucket, this.#address).catch(() => true)
  }

  async #store(): Promise<void> {
    if (!(await this.#lock.isHeld())) throw this.#takenOver()
    const files = await localFiles(this.folder, (path) => isStored(this.folder, path), this.#hashes)
    const before = this.#manifest?.manifest.files ?? {}
    const planned = planObjects(files, before)
    const fresh = planned.filter(({ path, key, sha256 }) => before[path]?.key !== key || before[path]?.sha256 !== sha256)
    if (this.#manifest && fresh.length === 0 && planned.length === Object.keys(before).length) return
    await this.#send(fresh)
    const sequence = (this.#manifest?.manifest.sequence ?? -1) + 1
    const manifest: Manifest = {
      format: 1,
      kind: 'run',
      id: this.#id,
      sequence,
      time: new Date().toISOString(),
      files: Object.fromEntries(planned.map(({ path, key, bytes, sha256 }) => [path, { key, bytes, sha256 }])),
    }
    const etag = await writeManifest(this.#bucket, this.#address, manifest, this.#manifest?.etag).catch((error) => {
      throw codeOf(error) === 'PreconditionFailed' || codeOf(error) === 'NoSuchKey' ? this.#takenOver() : error
    })
    this.#manifest = { manifest, etag }
    await writeMark(this.#markPath, { id: this.#id, sequence })
    await this.#removeOld(before, planned)
  }

  async #send(files: readonly PlannedFile[]): Promise<void> {
    const progress = this.#io.progress(`storing ${this.name}`, 'B')
    const totalBytes = files.reduce((sum, { bytes }) => sum + bytes, 0)
    let doneBytes = 0
    const onBytes = (bytes: number) => {
      doneBytes += bytes
      progress.update(doneBytes, totalBytes)
    }
    try {
      for (const { path, key, bytes, sha256 } of files)
        await uploadFile(
          this.#bucket,
          { path: join(this.folder, path), key: below(this.#address, key).key, bytes, sha256 },
          { onBytes },
        )
    } finally {
      progress.end()
    }
  }

  /** Nobody depends on it: what stays, a later run removes. */
  async #removeOld(before: Manifest['files'], planned: readonly PlannedFile[]): Promise<void> {
    const kept = new Set(planned.map(({ key }) => below(this.#address, key).key))
    try {
      if (!this.#swept) await sweepLeftovers(this.#bucket, this.#address, kept)
      else
        for (const { key } of Object.values(before)) {
          const full = below(this.#address, key).key
          if (!kept.has(full)) await this.#bucket.remove(full)
        }
      this.#swept = true
    } catch (error) {
      if (!isPassing(error)) throw error
      this.#swept = false
    }
  }

  #takenOver(): ParscaleError {
    return usageError(
      `${this.name}: another process has taken this run over; nothing more is stored there. What was trained here lies in ${this.folder}`,
      { file: this.name },
    )
  }
}

/** What storing may meet without being wrong: the network, its refusals, a file that changed meanwhile. */
const isPassing = (error: unknown): error is ParscaleError =>
  error instanceof StorageError || (isParscaleError(error) && error.kind === 'hub')

interface Place {
  readonly bucket: Bucket
  readonly address: Address
  readonly folder: string
  readonly markPath: string
}

async function opened(io: Io, name: string, flag: string, work: (place: Place) => Promise<StoredRun>): Promise<StoredRun> {
  const address = parseStorageName(name, flag)
  const bucket = await Bucket.open(address.bucket, io.signal)
  try {
    const id = createHash('sha256')
      .update(`${bucket.host}\n${nameOf(address)}`)
      .digest('hex')
      .slice(0, 16)
    const place = join(cacheFolder(io.env), 's3', 'runs', id)
    return await work({ bucket, address, folder: join(place, 'run'), markPath: join(place, 'mark.json') })
  } finally {
    bucket.close()
  }
}

interface PlannedFile extends ManifestFile {
  readonly path: string
}

/**
 * Under which keys files go. An object that the last manifest names is not written again: its readers would find neither the old
 * nor the new. So a file that has changed takes a key of its own, by its hash, and its own name again the time after.
 */
export function planObjects(
  files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[],
  before: Manifest['files'],
): PlannedFile[] {
  const named = new Set(Object.values(before).map(({ key }) => key))
  return files.map(({ path, bytes, sha256 }) => {
    const old = before[path]
    if (old?.sha256 === sha256) return { path, key: old.key, bytes, sha256 }
    return { path, key: named.has(path) ? `versions/${sha256.slice(0, 16)}/${path}` : path, bytes, sha256 }
  })
}

/** What belongs to a run, of what lies in its folder: not what is being written, nor checkpoints that were not finished. */
function isStored(folder: string, path: string): boolean {
  if (path.split('/').some((part) => part.startsWith('.') || part.endsWith('.partial'))) return false
  if (/^(lock|preview)/.test(path)) return false
  const [, step] = /^(checkpoints\/[^/]+)\//.exec(path) ?? []
  return step === undefined || existsSync(join(folder, step, 'complete'))
}

/** All files of a run, in place of what is here. */
async function fetchRun(io: Io, place: Place, found: FoundManifest): Promise<void> {
  const objects = objectsOf(found, place.address, '')
  const totalBytes = objects.reduce((sum, { bytes }) => sum + bytes, 0)
  let doneBytes = 0
  const progress = io.progress(`fetching ${nameOf(place.address)}`, 'B')
  const onBytes = (bytes: number) => {
    doneBytes += bytes
    progress.update(doneBytes, totalBytes)
  }
  // Of this manifest alone, so that what a cut has left can be taken up.
  const mark = createHash('sha256').update(JSON.stringify(found.manifest)).digest('hex').slice(0, 16)
  const incoming = `${place.folder}-incoming-${mark}`
  try {
    await makeFolder(incoming)
    for (const object of objects) {
      const path = join(incoming, object.path)
      if (existsSync(path)) onBytes(object.bytes)
      else await downloadObject(place.bucket, object, path, { onBytes, signal: io.signal })
    }
  } finally {
    progress.end()
  }
  await removeFolder(place.folder)
  await moveFile(incoming, place.folder)
}

async function readMark(path: string): Promise<Mark | undefined> {
  try {
    const { id, sequence } = JSON.parse(await readFile(path, 'utf8'))
    return typeof id === 'string' && Number.isSafeInteger(sequence) ? { id, sequence } : undefined
  } catch {
    return undefined
  }
}

const writeMark = (path: string, mark: Mark): Promise<void> => writeWholeFile(path, `${JSON.stringify(mark)}\n`)
