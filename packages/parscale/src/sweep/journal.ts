/**
 * What has happened in a sweep: a file of JSON lines that only grows. Whoever adds to it holds its lock and has read all of it, so that
 * decisions are taken one at a time. Half a line, which a killed process or a full disk leaves, is cut off by whoever adds next.
 */
import { join } from 'node:path'
import { checkpointError } from '@parscale/core/internal'
import {
  type DiskAdvice,
  diskError,
  type FileHandle,
  openToRead,
  openToUpdate,
  withFileLock,
} from '@parscale/core/internal/node/disk'
import type { Report } from './rules.ts'

export type BackendName = 'local' | 'slurm' | 'bullmq'

/** Workers were started, by whom and on what. */
export interface Started {
  readonly event: 'started'
  readonly on: BackendName
  /** Of Slurm. */
  readonly job?: string
}

export type JournalEntry = Report | Started
export type JournalLine = JournalEntry & { readonly time: string }

export const sweepAdvice: DiskAdvice = {
  full: 'nothing of the sweep is lost. Free some space and run parscale sweep again',
  denied: 'run parscale sweep again once it can',
}

export class Journal {
  readonly path: string
  readonly #lines: JournalLine[] = []
  #bytes = 0
  /** One at a time, or lines would be read twice. */
  #reading: Promise<unknown> = Promise.resolve()

  constructor(folder: string) {
    this.path = join(folder, 'journal.jsonl')
  }

  /** All whole lines so far. Takes no lock. @throws checkpoint error naming a line that is damaged */
  read(): Promise<readonly JournalLine[]> {
    const reading = this.#reading.then(() => this.#read())
    this.#reading = reading.catch(() => {})
    return reading
  }

  async #read(): Promise<readonly JournalLine[]> {
    const file = await openToRead(this.path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined // nothing yet
      throw diskError(error, this.path, sweepAdvice)
    })
    try {
      if (file) await this.#readMore(file)
    } finally {
      await file?.close()
    }
    return this.#lines
  }

  /** Adds what `decide` returns; nobody adds anything between what it is told and that. @throws as diskError; then nothing is added */
  async add<T>(
    decide: (lines: readonly JournalLine[]) => Promise<{ readonly entries: readonly JournalEntry[]; readonly value: T }>,
    signal?: AbortSignal,
  ): Promise<T> {
    return await withFileLock(`${this.path}.lock`, { advice: sweepAdvice, signal }, async () => {
      const { entries, value } = await decide(await this.read())
      if (entries.length > 0) await this.#append(entries)
      return value
    })
  }

  async #append(entries: readonly JournalEntry[]): Promise<void> {
    const time = new Date().toISOString()
    const bytes = new TextEncoder().encode(entries.map((entry) => `${JSON.stringify({ ...entry, time })}\n`).join(''))
    try {
      const file = await openToUpdate(this.path)
      try {
        await file.truncate(this.#bytes)
        for (let done = 0; done < bytes.byteLength; )
          done += (await file.write(bytes, done, bytes.byteLength - done, this.#bytes + done)).bytesWritten
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      throw diskError(error, this.path, sweepAdvice) // what was written of it is cut off by the next one
    }
    await this.read()
  }

  async #readMore(file: FileHandle): Promise<void> {
    const { size } = await file.stat()
    const bytes = new Uint8Array(Math.max(0, size - this.#bytes))
    let length = 0
    while (length < bytes.byteLength) {
      const { bytesRead } = await file.read(bytes, length, bytes.byteLength - length, this.#bytes + length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    const end = bytes.subarray(0, length).lastIndexOf(0x0a) + 1
    for (const line of new TextDecoder().decode(bytes.subarray(0, end)).split('\n'))
      if (line !== '') this.#lines.push(this.#parse(line))
    this.#bytes += end
  }

  #parse(line: string): JournalLine {
    try {
      const value: unknown = JSON.parse(line)
      if (typeof value === 'object' && value !== null && typeof (value as JournalLine).event === 'string')
        return value as JournalLine
    } catch {}
    const number = this.#lines.length + 1
    throw checkpointError(`${this.path}, line ${number}: is damaged; remove that line, and what it said is done again`, {
      file: this.path,
    })
  }
}
