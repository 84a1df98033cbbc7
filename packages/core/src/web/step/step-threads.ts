/**
 * Threads of the step: workers that have an instance of the module each, over one memory. They are the file of the model's own worker
 * once more (worker.ts), as pages may allow no other one.
 */
import { checkpointError } from '../../errors.ts'

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

/** Of a thread's own, in the module's memory: its stack, and what C keeps for each thread. */
export interface ThreadPlace {
  readonly worker: Worker
  readonly thread: number
}

interface Start {
  readonly module: WebAssembly.Module
  readonly memory: WebAssembly.Memory
  readonly stack: number
  readonly locals: number
}

const stackBytes = 1 << 20

interface ThreadExports {
  readonly __stack_pointer: WebAssembly.Global
  readonly __tls_size: WebAssembly.Global
  __wasm_init_tls(at: number): void
  _initialize(): void
  work(thread: number): void
}

/** @throws what the module throws, as an error of this project */
export async function instanceOf(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  isThread = false,
): Promise<WebAssembly.Exports> {
  const text = (at: number, length: number) => new TextDecoder().decode(new Uint8Array(memory.buffer, at >>> 0, length).slice())
  // The C library writes of what it gives up at; nobody reads it.
  const nothing = { fd_close: () => 0, fd_seek: () => 0, fd_write: () => 0 }
  const fail = (at: number, length: number): never => {
    throw length > 0 ? checkpointError(text(at, length)) : new Error('it has no memory left')
  }
  const { exports } = await WebAssembly.instantiate(module, {
    env: { memory },
    wasi_snapshot_preview1: nothing,
    parscale: { fail },
  })
  if (!isThread) (exports as unknown as ThreadExports)._initialize()
  return exports
}

/** Starts so many threads, or as many as come up: work goes on without those that do not. */
export async function startThreads(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  count: number,
  startThread: () => Worker,
  allocate: (bytes: number) => number,
): Promise<ThreadPlace[]> {
  const started = await Promise.all(
    Array.from({ length: count }, () => {
      const locals = allocate(stackBytes + 4096)
      const worker = startThread()
      const start: Start = { module, memory, locals, stack: locals + stackBytes + 4096 }
      return new Promise<Worker | undefined>((resolve) => {
        worker.onmessage = () => resolve(worker)
        worker.onerror = () => {
          worker.terminate()
          resolve(undefined)
        }
        worker.postMessage(start)
      })
    }),
  )
  return started.flatMap((worker) => worker ?? []).map((worker, i) => ({ worker, thread: i + 1 }))
}

/** The program of a thread: says that it is there, and works from when there is a model. */
export function serveThread(port: Pick<Worker, 'onmessage' | 'postMessage'>): void {
  let exports: ThreadExports | undefined
  port.onmessage = async ({ data }: MessageEvent<Start | { readonly work: number }>) => {
    if ('work' in data) return exports!.work(data.work)
    exports = (await instanceOf(data.module, data.memory, true)) as unknown as ThreadExports
    exports.__stack_pointer.value = data.stack
    exports.__wasm_init_tls(data.locals)
    port.postMessage('ready')
  }
}
