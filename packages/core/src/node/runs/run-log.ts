/** A file that only grows, one record at a time, and can be cut back to where a checkpoint was taken. */
import { type DiskAdvice, diskError } from '../disk/disk-error.ts'
import { type FileHandle, openToAppend } from '../disk/open-file.ts'
import { fileSink } from '../disk/whole-file.ts'

/** Where a run is already, and a folder of its own is not to be chosen again. */
export const runAdvice: DiskAdvice = {
  full: 'free some space and go on with --resume',
  denied: 'go on with --resume once it can',
}

export class RunLog {
  readonly path: string
  readonly #file: FileHandle
  #bytes: number
  /** Records are written one after the other, whoever waits for them. */
  #last: Promise<void> = Promise.resolve()

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.path = path
    this.#file = file
    this.#bytes = bytes
  }

  /**
   * Opens or makes a log. A killed process may have left part of a record at its end, which is removed.
   *
   * @param wholeBytes how many of the file's bytes are whole records
   */
  static async open(path: string, wholeBytes: (bytes: Uint8Array) => number): Promise<RunLog> {
    const file = await openToAppend(path)
    const bytes = wholeBytes(await file.readFile())
    const log = new RunLog(path, file, bytes)
    await file.truncate(bytes)
    return log
  }

  /** Length of what is written, in bytes. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Adds a record, which outlives this process from then on. (Outliving the machine takes sync.)
   *
   * @throws resource error when the disk is full; no part of the record is left then
   */
  append(record: Uint8Array): Promise<void> {
    return this.#next(async () => {
      try {
        await fileSink(this.#file).write(record)
        this.#bytes += record.byteLength
      } catch (error) {
        await this.#file.truncate(this.#bytes).catch(() => {}) // the next one to open it does so
        throw error
      }
    })
  }

  /** Cuts off what was written after the log had this length. @throws as append */
  truncate(bytes: number): Promise<void> {
    return this.#next(async () => {
      this.#bytes = Math.min(bytes, this.#bytes)
      await this.#file.truncate(this.#bytes)
    })
  }

  /** Flushes to disk what is written. @throws as append */
  sync(): Promise<void> {
    return this.#next(() => this.#file.sync())
  }

  async close(): Promise<void> {
    await this.#next(() => this.#file.close())
  }

  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work).catch((error) => {
      throw diskError(error, this.path, runAdvice)
    })
    this.#last = done.catch(() => {})
    return done
  }
}

/** How many bytes lie before the end of the last whole line. */
export const wholeLineBytes = (bytes: Uint8Array): number => bytes.lastIndexOf(0x0a) + 1
