/** The program of the page that tests of @parscale/core/web open, and how they load a model in it. */
import type * as web from '@parscale/core/web'
import type OpenAI from 'openai'
import type { Page } from 'playwright-core'

/** What the page's program leaves in its global scope. */
export interface PageGlobals {
  readonly web: typeof web
  readonly OpenAI: typeof OpenAI
  /** The model that was loaded last. */
  model: web.BrowserModel
}

export const pageProgram = `
  import * as web from '@parscale/core/web'
  import OpenAI from 'openai'
  Object.assign(globalThis, { web, OpenAI, ready: true })
`

type Sendable = Omit<web.BrowserLoadOptions, 'source' | 'worker' | 'signal' | 'onProgress' | 'onInfo'> & {
  readonly source: { readonly url: string } | { readonly kept: string } | { readonly hub: string; readonly endpoint: string }
}

/** Loads a model in the page, in place of the one before; errors come with their message. */
export async function loadedFrom(page: Page, options: Sendable): Promise<web.BrowserModelInfo> {
  return await page.evaluate(async (options) => {
    const globals = globalThis as unknown as PageGlobals
    await globals.model?.dispose()
    globals.model = await globals.web.loadInBrowser({ runtimeFiles: '/ort/', ...options } as web.BrowserLoadOptions)
    return globals.model.info
  }, options)
}

/**
 * The worker with its GPU in the test's hands: told 'destroy' on the channel 'spy' it loses it; with `#wrong` in its URL what is read
 * back from the GPU is a little off.
 */
export const spyProgram = `
  import '@parscale/core/web/worker'
  const devices = []
  const { requestDevice } = GPUAdapter.prototype
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await requestDevice.apply(this, args)
    devices.push(device)
    return device
  }
  new BroadcastChannel('spy').onmessage = () => { for (const device of devices) device.destroy() }
  if (location.hash === '#wrong') {
    const { getMappedRange } = GPUBuffer.prototype
    GPUBuffer.prototype.getMappedRange = function (...args) {
      const range = getMappedRange.apply(this, args)
      if (!(this.usage & GPUBufferUsage.MAP_READ)) return range
      const numbers = new Float32Array(range.slice(0, range.byteLength & ~3))
      return numbers.map((number, i) => number + (i % 7) * 0.5).buffer
    }
  }
`
