/** Loads a model in a page: into a worker that it starts, or, inside of a worker, where it is called. */
import { unsupportedError } from '../errors.ts'
import { loadInWorker } from './port/remote-model.ts'
import type { BrowserLoadOptions, BrowserModel } from './types.ts'

/**
 * Loads a model into a worker of its own, or, inside of a worker, where it is called.
 *
 * @throws checkpoint error for files that are no model; resource error for one that does not fit, before its weights are read;
 *   hub error where the network fails and nothing is kept; unsupported error where neither WebGPU nor WASM runs it
 */
export async function loadInBrowser(options: BrowserLoadOptions): Promise<BrowserModel> {
  const { worker = isInWorker() ? 'here' : startWorker } = options
  if (typeof location === 'undefined' || typeof WebAssembly === 'undefined')
    throw unsupportedError('loadInBrowser needs a browser; in Node there is loadTextModel of the package parscale')
  if (worker !== 'here') return await loadInWorker(worker(), options)
  // What runs a model is large: a page that only starts a worker does without it.
  const { loadHere } = await import('./model/local-model.ts')
  return await loadHere(options)
}

/** Bundlers know this expression, and no other one: they build the worker and put its URL here. */
const startWorker = () => new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'parscale' })

const isInWorker = (): boolean => typeof WorkerGlobalScope !== 'undefined' && globalThis instanceof WorkerGlobalScope
