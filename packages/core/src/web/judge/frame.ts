/** The frame that judges, from the page's side. */
import { resourceError, unsupportedError } from '../../errors.ts'
import { exchangeSource, type Judgement } from '../../evaluation/index.ts'
import { framePolicy, frameSource, workerSource } from './frame-source.ts'
import { pageSource } from './page-source.ts'

/** What of a page's document is needed here: this package is compiled without it. */
interface Frame {
  srcdoc: string
  readonly style: { display: string }
  readonly contentWindow: { postMessage(message: unknown, origin: string, transfer: Transferable[]): void } | null
  setAttribute(name: string, value: string): void
  addEventListener(type: 'load', listener: () => void, options: { once: true }): void
  remove(): void
}
declare const document: { createElement(name: 'iframe'): Frame; readonly body: { append(frame: Frame): void } }

export interface FrameProgram {
  readonly program: string
  readonly prelude: string
  readonly test: string
  readonly entryPoint?: string | undefined
}

export interface FrameLimits {
  readonly seconds: number
  readonly memoryBytes: number
  /** Whether another one comes, whose interpreters may load meanwhile. */
  readonly next?: boolean
}

export interface JudgeFrame {
  /** Never throws because of the program; `refused` with the reason where nothing ran. @throws the signal's reason */
  run(program: FrameProgram, limits: FrameLimits): Promise<Judgement>
  /** What a script in there can do that it must not, in words; `address` is what it tries to reach. */
  escapes(address: string): Promise<readonly string[]>
  close(): void
}

type Answer = { readonly id: number } & (
  | { readonly judgement: Judgement }
  | { readonly escapes: readonly string[] }
  | { readonly refused: string }
  | { readonly stopped: true }
)

const startMs = 15_000

/** @throws resource error for files that cannot be fetched; unsupported error where the frame does not start; the signal's reason */
export async function openFrame(runtimeFiles: string, signal?: AbortSignal): Promise<JudgeFrame> {
  const base = new URL(runtimeFiles.endsWith('/') ? runtimeFiles : `${runtimeFiles}/`, location.href)
  const file = async (name: string): Promise<Response> => {
    const url = new URL(name, base)
    const response = await fetch(url, { signal: signal ?? null }).catch((cause) => {
      signal?.throwIfAborted()
      throw resourceError(`${url}: cannot be fetched; runtimeFiles names the folder of npm's pyodide`, { cause })
    })
    if (!response.ok) throw resourceError(`${url}: answers ${response.status}; runtimeFiles names the folder of npm's pyodide`)
    return response
  }
  const [loader, module, wasm, library, lock] = await Promise.all([
    file('pyodide.mjs').then((response) => response.text()),
    file('pyodide.asm.mjs').then((response) => response.text()),
    file('pyodide.asm.wasm').then((response) => response.arrayBuffer()),
    file('python_stdlib.zip').then((response) => response.arrayBuffer()),
    file('pyodide-lock.json').then((response) => response.json()) as Promise<{ readonly info: unknown }>,
  ])
  const frame = document.createElement('iframe')
  frame.setAttribute('sandbox', 'allow-scripts')
  frame.style.display = 'none'
  frame.srcdoc = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${framePolicy}"><script>${frameSource}</script>`
  const { port1: port, port2: end } = new MessageChannel()
  const waiting = new Map<number, (answer: Answer) => void>()
  let blocked = ''
  let count = 0
  const ready = new Promise<void>((resolve) => {
    port.onmessage = ({ data }) => {
      if (data.ready) resolve()
      else if (data.blocked) blocked = data.blocked
      else waiting.get(data.id)?.(data)
    }
  })
  document.body.append(frame)
  const close = () => {
    frame.remove() // and with it its workers
    port.close()
  }
  try {
    await new Promise<void>((resolve) => frame.addEventListener('load', resolve, { once: true }))
    const source = exchangeSource + pageSource
    frame.contentWindow!.postMessage({ loader, module, wasm, library, info: lock.info, source, worker: workerSource }, '*', [
      end,
      wasm,
    ])
    await within(startMs, ready)
    signal?.throwIfAborted()
  } catch (error) {
    close()
    throw error
  }
  const ask = async (question: object): Promise<Answer> => {
    signal?.throwIfAborted()
    const id = ++count
    const answered = new Promise<Answer>((resolve) => waiting.set(id, resolve))
    const abort = () => port.postMessage({ stop: id })
    signal?.addEventListener('abort', abort)
    port.postMessage({ id, ...question })
    try {
      const answer = await answered
      signal?.throwIfAborted()
      return answer
    } finally {
      waiting.delete(id)
      signal?.removeEventListener('abort', abort)
    }
  }
  const reasonOf = (answer: Answer): string =>
    `${'refused' in answer ? answer.refused : 'it was stopped'}${blocked && ` (a content policy blocks ${blocked})`}`
  return {
    close,
    run: async ({ program: text, ...checks }, { seconds, memoryBytes, next = false }) => {
      const answer = await ask({ text, checks, milliseconds: 1000 * seconds, memoryBytes, next })
      return 'judgement' in answer ? answer.judgement : { verdict: 'refused', result: `refused: ${reasonOf(answer)}`, seconds: 0 }
    },
    escapes: async (address) => {
      const answer = await ask({ address })
      if ('escapes' in answer) return answer.escapes
      throw unsupportedError(`the frame that judges does not work: ${reasonOf(answer)}`)
    },
  }
}

/** @throws unsupported error when the time is over */
async function within(milliseconds: number, work: Promise<void>): Promise<void> {
  let clock: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<'late'>((resolve) => {
    clock = setTimeout(() => resolve('late'), milliseconds)
  })
  const first = await Promise.race([work, late])
  clearTimeout(clock)
  if (first !== 'late') return
  const script = crypto.subtle ? `'sha256-${await sha256(frameSource)}'` : "'unsafe-inline'"
  throw unsupportedError(
    `the frame that judges does not start; if the page has a content policy, script-src needs blob: 'wasm-unsafe-eval' ${script}, and worker-src blob:`,
  )
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
  return btoa(String.fromCharCode(...new Uint8Array(digest)))
}
