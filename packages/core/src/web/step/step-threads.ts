/**
 * Threads of the step: workers that have an instance of the module each, over one memory. They are the file of the model's own worker
 * once more (worker.ts), as pages may allow no other one.
 */
import { runtimeError } from '../../errors.ts'

/** Of workers that are threads. */
export const threadName = 'parscale-step'

let script: string | undefined

/** Says that the file at this URL serves threads. */
export function threadsFrom(url: string): void {
  script = url
}

/** Starts a thread's worker; undefined where no file serves any. */
export const threadStarter = (): (() => Worker) | undefined => {
  const url = script
  return url === undefined ? undefined : () => new Worker(url, { type: 'module', name: threadName })
}

interface Start {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  /** Of the thread's own in that memory: where its stack ends, and what C keeps for each thread. */
  readonly stack: number
  readonly locals: number
}

const [stackBytes, localBytes] = [1 << 20, 4096]
/** A file that was fetched before and 0.3 MB of script: a browser that has not started it by then is not waited for. */
const longestStart = 10_000

interface ThreadExports {
  readonly __stack_pointer: WebAssembly.Global
  __wasm_init_tls(at: number): void
  _initialize(): void
  failedWord(): number
  work(thread: number): void
}

/** What C++ throws where memory ends. */
export class NoMemory extends Error {
  override readonly name = 'NoMemory'
}

/** @throws what the module throws, as a runtime error */
export async function instanceOf(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  isThread = false,
): Promise<WebAssembly.Exports> {
  const text = (at: number, length: number) => new TextDecoder().decode(new Uint8Array(memory.buffer, at >>> 0, length).slice())
  // What the C library writes when it gives up is refused: it would try for ever to have it written.
  const badFile = () => 8
  const fail = (at: number, length: number): never => {
    throw length > 0 ? runtimeError(text(at, length)) : new NoMemory('it has no memory left')
  }
  const { exports } = await WebAssembly.instantiate(module, {
    env: { memory },
    wasi_snapshot_preview1: { fd_close: badFile, fd_seek: badFile, fd_write: badFile },
    parscale: { fail },
  })
  if (!isThread) (exports as unknown as ThreadExports)._initialize()
  return exports
}

/** Workers that are threads of a module, as many as come up: work goes on without those that do not. */
export class StepThreads {
  readonly #workers: Worker[] = []
  readonly #up: Promise<readonly Worker[]>

  /** @param allocate gives 0 where there is no room */
  constructor(
    module: WebAssembly.Module,
    memory: WebAssembly.Memory,
    count: number,
    startThread: () => Worker,
    allocate: (bytes: number) => number,
  ) {
    const start = (): Promise<Worker | undefined> => {
      const locals = allocate(stackBytes + localBytes)
      if (locals === 0) return Promise.resolve(undefined)
      try {
        const worker = startThread()
        this.#workers.push(worker)
        const message: Start = { module, memory, locals, stack: locals + stackBytes + localBytes }
        worker.postMessage(message)
        return new Promise((resolve) => {
          const end = (isUp: boolean) => {
            clearTimeout(timer)
            if (!isUp) worker.terminate()
            resolve(isUp ? worker : undefined)
          }
          const timer = setTimeout(() => end(false), longestStart)
          worker.onmessage = ({ data }) => end(data === 'ready')
          worker.onerror = worker.onmessageerror = () => end(false)
        })
      } catch {
        return Promise.resolve(undefined)
      }
    }
    this.#up = Promise.all(Array.from({ length: count }, start)).then((all) => all.flatMap((worker) => worker ?? []))
  }

  /** How many came up. */
  async count(): Promise<number> {
    return (await this.#up).length
  }

  /** Lets them work, from 1 on. */
  async begin(): Promise<void> {
    for (const [i, worker] of (await this.#up).entries()) worker.postMessage({ work: i + 1 })
  }

  end(): void {
    for (const worker of this.#workers) worker.terminate()
  }
}

/** The program of a thread: says that it is there, and works from when there is a model. */
export function serveThread(port: Pick<Worker, 'onmessage' | 'postMessage'>): void {
  let [exports, memory] = [] as unknown as [ThreadExports, WebAssembly.Memory]
  port.onmessage = async ({ data }: MessageEvent<Start | { readonly work: number }>) => {
    if ('work' in data) {
      try {
        exports.work(data.work)
      } catch {
        Atomics.store(new Int32Array(memory.buffer), (exports.failedWord() >>> 0) / 4, 1)
      }
      return
    }
    try {
      memory = data.memory
      exports = (await instanceOf(data.module, data.memory, true)) as unknown as ThreadExports
      exports.__stack_pointer.value = data.stack
      exports.__wasm_init_tls(data.locals)
      port.postMessage('ready')
    } catch {
      port.postMessage('failed')
    }
  }
}
