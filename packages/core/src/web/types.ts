/** What a page sees of a model that runs inside of it. Everything here can be sent to a worker, but for what is named so. */
import type { TextOptions, TextResult, TextToken } from '../generation/index.ts'
import type { ChatMessage } from '../tokenizer/index.ts'

/** A file of a dropped or chosen folder, with its path below that folder: `config.json`, `streams/p8/model.safetensors`. */
export interface NamedFile {
  readonly path: string
  readonly file: Blob
}

/** Where a model comes from: a folder behind a URL, a model of a hub, what was dropped on the page, or what is kept already. */
export type BrowserSource =
  /**
   * A folder that a server hands out. `files.json` beside config.json may list its files ([{ path, size, sha256 }]); without,
   * the usual names are asked for, and stream sets in `streams/p2`, `p4` and `p8`. A URL that ends in .gguf is that file.
   */
  | { readonly url: string; readonly headers?: Readonly<Record<string, string>> }
  /** A model of the Hugging Face hub or of whoever speaks its API. `endpoint` defaults to https://huggingface.co, `revision` to main. */
  | { readonly hub: string; readonly revision?: string; readonly endpoint?: string; readonly token?: string }
  /** A dropped or chosen folder (see `filesOfDrop`). */
  | { readonly files: readonly NamedFile[] }
  /** A folder of the File System Access API. */
  | { readonly folder: FileSystemDirectoryHandle }
  /** A .gguf file. */
  | { readonly gguf: File }
  /** A model that is kept (`keptModels`), by its key: needs no network. */
  | { readonly kept: string }

/** How far loading has come. Bytes of the stage; `total` is undefined where nobody says it. */
export interface LoadProgress {
  /** look: names, configuration and headers. fetch: files are read and kept. load: weights go to the engine. test: eight tokens. */
  readonly stage: 'look' | 'fetch' | 'load' | 'test'
  /** The file that is read. */
  readonly file?: string
  readonly done?: number
  readonly total?: number
}

/** Options of `loadInBrowser`. */
export interface BrowserLoadOptions {
  readonly source: BrowserSource
  /** Not sent to the worker; called in the page. */
  readonly onProgress?: (progress: LoadProgress) => void
  /** Called in the page with `info` whenever it changes: as when the GPU is lost and WASM takes over. */
  readonly onInfo?: (info: BrowserModelInfo) => void
  /** Default 'auto': WebGPU where it is there and passes the self-test, else WASM. A named one falls back too, and says so. */
  readonly device?: 'auto' | 'webgpu' | 'wasm'
  /** WASM threads. Default: up to four, then half of the cores, at most 8; 1 where the page is not isolated (COOP and COEP). */
  readonly threads?: number
  /** Bits of weights that are stored in more: 8 or 4. Default: as they are stored; a .gguf file's integers are kept. */
  readonly bits?: 8 | 4
  /** Keys and values: f32, f16 or int8. Default: f32. */
  readonly kv?: 'f32' | 'f16' | 'int8'
  /** Keep what is read in the origin private file system. Default true for url and hub, false for files. 'reload': read it anew. */
  readonly cache?: boolean | 'reload'
  /** Folder that onnxruntime-web's files are fetched from (`ort-wasm-simd-threaded*`). Default: as the bundler put them. */
  readonly runtimeFiles?: string | URL
  /** Folder that `step.wasm` and `step-relaxed.wasm` of `@parscale/core/wasm` are fetched from. Default: as the bundler put them. */
  readonly stepFiles?: string | URL
  /**
   * The worker: a function that starts one over `@parscale/core/web/worker`, for bundlers that do not follow
   * `new Worker(new URL(...))`; or 'here': in the thread that calls, the default inside of a worker.
   */
  readonly worker?: 'here' | (() => Worker)
  /** Tokens that the memory check reckons with. Default: 2048, or the whole context. */
  readonly contextTokens?: number
  readonly signal?: AbortSignal
}

/** How a text is generated in a page: as in Node, but for what cannot be sent to a worker. `fetch` holds answers to a form. */
export type BrowserTextOptions = Omit<TextOptions, 'constrain' | 'constraint' | 'owner'>

/** What runs, why, and what the model is. */
export interface BrowserModelInfo {
  readonly name: string
  /** Key under which the model is kept; undefined where it is not. */
  readonly kept?: string
  readonly backend: 'webgpu' | 'wasm'
  /** What computes: our own step, or a build of onnxruntime-web. */
  readonly build: 'step' | 'jspi' | 'webgpu' | 'wasm'
  /** WASM threads: 1 on WebGPU. */
  readonly threads: number
  /** A sentence: why this backend runs. */
  readonly why: string
  /** Sentences about what did not go as wished: no isolation, storage full, a self-test that failed, a GPU that was lost. */
  readonly notes: readonly string[]
  /** How the self-test was judged. */
  readonly selfTest: 'known tokens' | 'other backend' | 'finite logits'
  /** The P there are, ascending. */
  readonly availableP: readonly number[]
  readonly defaultP: number
  readonly vocabSize: number
  readonly contextTokens: number
  /** How most weights are stored: `4 bits`, `float32`. */
  readonly weights: string
  readonly parameters: number
  readonly hasChatTemplate: boolean
  /** Bytes, estimated before anything was loaded. */
  readonly estimate: { readonly weightBytes: number; readonly totalBytes: number }
}

/** Bytes in use now. */
export interface BrowserMemory {
  /** Keys and values of all texts under way. */
  readonly cacheBytes: number
  /** Weights that the engine holds, as they were handed to it. */
  readonly weightBytes: number
  /** Keys and values of one position of one row. */
  readonly positionBytes: number
}

/** A model that runs in a page. Names are those of Node's TextModel. Call `dispose` to free it and its worker. */
export interface BrowserModel {
  readonly info: BrowserModelInfo
  /**
   * Continues a prompt, or answers a conversation, piece by piece. Leaving the loop ends the generation. Calls may run at once.
   *
   * @throws usage error for bad options or a prompt that does not fit; runtime error where the engine failed
   */
  stream(
    prompt: string | readonly ChatMessage[],
    options?: BrowserTextOptions,
  ): AsyncGenerator<{ readonly text: string; readonly tokens: readonly TextToken[] }, TextResult>
  /** The whole continuation at once. */
  generate(prompt: string | readonly ChatMessage[], options?: BrowserTextOptions): Promise<TextResult>
  /** The OpenAI-compatible server, inside of the page: hand it to a client as its `fetch`. Any host will do; paths count. */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>
  memory(): Promise<BrowserMemory>
  /** Ends what is under way and frees all memory. */
  dispose(): Promise<void>
}

/** A model in the origin private file system. */
export interface KeptModel {
  /** What `{ kept }` and `deleteKeptModel` take. */
  readonly key: string
  /** The source, for people. */
  readonly name: string
  readonly bytes: number
  /** False: a download that was cut off; loading it again goes on where it stopped. */
  readonly complete: boolean
  /** Milliseconds since the epoch. */
  readonly keptAt: number
  /** SHA-256 over the paths and digests of all files, in hex; undefined until it is complete. */
  readonly sha256?: string
}
