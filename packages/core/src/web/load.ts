/** Loads a model in a page. */
import { unsupportedError } from '../errors.ts'
import type { BrowserLoadOptions, BrowserModel } from './types.ts'

/**
 * Loads a model into a worker of its own, or, inside of a worker, where it is called.
 *
 * @throws checkpoint error for files that are no model; resource error for one that does not fit, before its weights are read;
 *   hub error where the network fails and nothing is kept; unsupported error where neither WebGPU nor WASM runs it
 */
export async function loadInBrowser(_options: BrowserLoadOptions): Promise<BrowserModel> {
  throw unsupportedError('loadInBrowser is being built')
}
