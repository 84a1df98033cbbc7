/** A model inside of the page: started in a worker, said how far it is, and put beside the server's models. */
import type { BrowserLoadOptions, BrowserModel, BrowserModelInfo, BrowserSource, LoadProgress } from '@parscale/core/web'
import { signal } from '@preact/signals'
import { inPage, info as served } from './api.ts'
import { part } from './fetched.ts'
import { bytes } from './streams.ts'

export type Device = NonNullable<BrowserLoadOptions['device']>

export type PageModel =
  | { readonly state: 'none' }
  | { readonly state: 'loading'; readonly progress: LoadProgress | undefined }
  | { readonly state: 'ready'; readonly info: BrowserModelInfo }
  | { readonly state: 'failed'; readonly problem: string }

export const pageModel = signal<PageModel>({ state: 'none' })
export const device = signal<Device>('auto')

let model: BrowserModel | undefined
let loading: AbortController | undefined
let last: BrowserSource | undefined

/** The program of the runtime comes when it is asked for. */
const runtime = () => part(() => import('@parscale/core/web'))

/** Where the files of the first model lie: behind the server, or beside an exported page. */
async function shippedSource(signal: AbortSignal): Promise<BrowserSource> {
  const folder = new URL('./studio/model/', document.baseURI)
  const list = await fetch(new URL('files.json', folder), { signal }).catch((cause) => {
    throw signal.aborted ? cause : new Error('the server does not answer, and its model is not here yet', { cause })
  })
  const files = (await list.json().catch(() => undefined)) as { path: string }[] | undefined
  if (!list.ok || !Array.isArray(files)) throw new Error('this page has no model of its own to run; drop one in the Model panel')
  const [only] = files
  const gguf = files.length === 1 && only!.path.endsWith('.gguf')
  return { url: new URL(gguf ? encodeURIComponent(only!.path) : '.', folder).href }
}

/**
 * Starts a model in place of the one before, which runs on until this one does, and after a failure.
 *
 * @param source default: the one that the server, or the exported page, has first
 */
export async function startPageModel(source?: BrowserSource): Promise<void> {
  loading?.abort()
  const mine = new AbortController()
  loading = mine
  const tell = (next: PageModel) => {
    if (loading === mine) pageModel.value = next
  }
  tell({ state: 'loading', progress: undefined })
  try {
    const { loadInBrowser } = await runtime()
    const started = await loadInBrowser({
      source: source ?? (await shippedSource(mine.signal)),
      device: device.value,
      signal: mine.signal,
      onProgress: (progress) => tell({ state: 'loading', progress }),
      onInfo: (info) => {
        tell({ state: 'ready', info })
        if (loading === mine && inPage.value) inPage.value = { ...inPage.value, runs: runsWords(info) }
      },
    })
    const { positionBytes } = await started.memory()
    if (loading !== mine) return void (await started.dispose())
    void model?.dispose()
    model = started
    last = source
    const { info } = started
    inPage.value = {
      about: aboutOf(source ? info.name : (served.value?.models[0]?.id ?? info.name), info, positionBytes),
      name: info.name,
      runs: runsWords(info),
      fetch: (path, init) => started.fetch(path, init),
      memory: () => started.memory(),
    }
    tell({ state: 'ready', info })
  } catch (error) {
    if (mine.signal.aborted) return
    if (!model) last = source
    tell({ state: 'failed', problem: error instanceof Error ? error.message : String(error) })
  }
}

/** What runs already goes on. */
export function stopLoading(): void {
  loading?.abort()
  loading = undefined
  pageModel.value = model ? { state: 'ready', info: model.info } : { state: 'none' }
}

/** Anew, as with another backend. What is kept costs no network. */
export const restartPageModel = (): Promise<void> => startPageModel(last)

/** Ends loading and what runs, and frees it. */
export function stopPageModel(): void {
  loading?.abort()
  loading = undefined
  inPage.value = undefined
  pageModel.value = { state: 'none' }
  void model?.dispose()
  model = undefined
}

const aboutOf = (
  name: string,
  { availableP, hasChatTemplate, weights, contextTokens, vocabSize, parameters }: BrowserModelInfo,
  bytesPerPosition: number,
) => ({
  ...{ id: `${name} in this page`, state: 'ready', problem: null, path: null, p: availableP, chat: hasChatTemplate },
  ...{ weights, context: contextTokens, vocabulary: vocabSize, parameters, bytesPerPosition },
})

const backends = { webgpu: 'WebGPU', wasm: 'WASM' }
export const runsWords = ({ backend, threads }: BrowserModelInfo): string =>
  backend === 'wasm' ? `WASM, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : backends[backend]

/** How far loading is, in words, and as a share where it is known. */
export function progressWords(progress: LoadProgress | undefined): { words: string; share: number | undefined } {
  const { stage, file, done, total } = progress ?? {}
  const share = done !== undefined && total ? done / total : undefined
  switch (stage) {
    case undefined:
      return { words: 'Fetching the runtime', share }
    case 'look':
      return { words: 'Looking at the model', share }
    case 'fetch':
      return { words: `Reading ${file}: ${bytes(done ?? 0)}${total ? ` of ${bytes(total)}` : ''}`, share }
    case 'load':
      return { words: `Weights go to the engine: ${bytes(done ?? 0)}`, share }
    case 'test':
      return { words: 'Self-test: eight tokens', share }
  }
}

export interface Kept {
  readonly models: readonly { readonly key: string; readonly name: string; readonly bytes: number; readonly complete: boolean }[]
  readonly usedBytes: number
  readonly quotaBytes: number
}

/** What the browser keeps of models for this page. */
export const keptModels = async (): Promise<Kept> => await (await runtime()).keptModels()
export const deleteKept = async (key: string): Promise<void> => await (await runtime()).deleteKeptModel(key)
