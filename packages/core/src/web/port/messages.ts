/** What a page and its worker say to each other. Requests have a number; answers carry it. */
import { type ErrorFacts, type ErrorKind, isParscaleError, ParscaleError } from '../../errors.ts'
import type { TextChunk, TextResult } from '../../generation/index.ts'
import type { ChatMessage } from '../../tokenizer/index.ts'
import type { BrowserLoadOptions, BrowserMemory, BrowserModelInfo, BrowserTextOptions, LoadProgress } from '../types.ts'

/** What can be sent of the options. */
export type SentLoadOptions = Omit<BrowserLoadOptions, 'onProgress' | 'onInfo' | 'signal' | 'worker'>
export type SentTextOptions = Omit<BrowserTextOptions, 'signal' | 'onPrefill'>

/** From the page. */
export type Asked =
  | { readonly type: 'load'; readonly id: number; readonly options: SentLoadOptions }
  | {
      readonly type: 'stream'
      readonly id: number
      readonly prompt: string | readonly ChatMessage[]
      readonly options: SentTextOptions
      readonly prefill: boolean
    }
  | {
      readonly type: 'fetch'
      readonly id: number
      readonly url: string
      readonly method: string
      readonly headers: readonly [string, string][]
      readonly body: ArrayBuffer | undefined
    }
  | { readonly type: 'memory'; readonly id: number }
  | { readonly type: 'dispose'; readonly id: number }
  /** Ends another request. */
  | { readonly type: 'abort'; readonly id: number }

/** From the worker. */
export type Answer =
  /** At once when a model is asked for: the worker's program runs. */
  | { readonly type: 'running' }
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'info'; readonly info: BrowserModelInfo }
  | { readonly type: 'prefill'; readonly id: number; readonly done: number; readonly total: number }
  | { readonly type: 'chunk'; readonly id: number; readonly chunk: TextChunk }
  | { readonly type: 'bytes'; readonly id: number; readonly bytes: Uint8Array }
  | {
      readonly type: 'head'
      readonly id: number
      readonly status: number
      readonly statusText: string
      readonly headers: readonly [string, string][]
    }
  /** The end of a request: of load the info, of stream the result, of memory the numbers. */
  | { readonly type: 'end'; readonly id: number; readonly value?: BrowserModelInfo | TextResult | BrowserMemory }
  | { readonly type: 'error'; readonly id: number; readonly error: SentError }

export interface SentError {
  readonly name: string
  readonly message: string
  /** Of errors of this library. */
  readonly kind?: ErrorKind
  readonly facts?: ErrorFacts
}

export function sendError(error: unknown): SentError {
  if (!(error instanceof Error || error instanceof DOMException)) return { name: 'Error', message: String(error) }
  const { name, message } = error
  if (!isParscaleError(error)) return { name, message }
  // Causes and what was found may be anything; lengths in headers are of 64 bits.
  const { cause: _, ...facts } = error.facts
  const plain = JSON.stringify(facts, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  return { name, message, kind: error.kind, facts: JSON.parse(plain) as ErrorFacts }
}

export function receiveError({ name, message, kind, facts }: SentError): Error {
  if (kind) return new ParscaleError(kind, message, facts)
  if (name === 'AbortError') return new DOMException(message, name) as unknown as Error
  return Object.assign(new Error(message), { name })
}
