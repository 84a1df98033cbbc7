/** Ctrl-C and SIGTERM: the first one asks the work to stop at a clean point, the second one ends the process. */
import process from 'node:process'

/** Exit code of a process that Ctrl-C ended: 128 + SIGINT. */
const interruptedExitCode = 130

/** Environment variable of a child of ours: the end of its input, as when its parent is gone, is a SIGTERM to it. */
export const endsWithInput = '_PARSCALE_ENDS_WITH_INPUT'

/** A launcher may pass a Ctrl-C on to a child that has it from the terminal already: it comes twice, some milliseconds apart. */
const echoMs = 100

export class Interrupts {
  readonly #abort = new AbortController()
  /** The first interruption of what is going on. */
  #first: NodeJS.Signals | undefined
  /** The last one of all, for its echo may come when what it stopped is over. */
  #last: { readonly name: NodeJS.Signals; readonly at: number } | undefined
  #stop: (() => void) | undefined
  #watch: { forget(): void } | undefined

  /** Takes SIGINT and SIGTERM of this process over, for as long as it lives. */
  constructor() {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => this.#on(name))
    if (process.env[endsWithInput]) {
      delete process.env[endsWithInput]
      const end = () => {
        if (!this.#first) this.#on('SIGTERM')
      }
      process.stdin.once('end', end).once('error', end).resume()
      // Waiting for it is no work.
      const { stdin } = process
      if ('unref' in stdin) stdin.unref()
    }
  }

  /** Aborted by the first of them. */
  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /**
   * Lets the second one end the process also while the event loop is blocked, by the native module. Where there is none, it is
   * heard at the next pause of the work.
   */
  async watch(): Promise<void> {
    try {
      this.#watch = (await import('@parscale/native/interrupts')).watchInterrupts()
    } catch {} // not installed, or older than this
  }

  /** While `work` goes on, the first Ctrl-C calls `stop` and leaves the command running. */
  async cutShort<T>(stop: () => void, work: () => Promise<T>): Promise<T> {
    this.#stop = stop
    try {
      return await work()
    } finally {
      this.#stop = undefined
      if (!this.signal.aborted) {
        this.#first = undefined
        this.#watch?.forget()
      }
    }
  }

  #on(name: NodeJS.Signals): void {
    const at = performance.now()
    if (name === this.#last?.name && at - this.#last.at <= echoMs) {
      if (!this.#first) this.#watch?.forget()
      return
    }
    this.#last = { name, at }
    if (this.#first) process.exit(interruptedExitCode)
    this.#first = name
    if (name === 'SIGINT' && this.#stop) this.#stop()
    else this.#abort.abort()
  }
}
