/** The program of the page that tests of @parscale/core/web open, and how they load a model in it. */
import type * as web from '@parscale/core/web'
import type OpenAI from 'openai'
import { loadTextModel, type TextModel } from 'parscale'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll } from 'vitest'
import { bundlePage, launch, removeFolder, type Site, serveSite } from './browser.ts'

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

/** Filled before the first test of the block that asks for it. */
export interface WebPages {
  readonly browser: Browser
  /** Pages with COOP and COEP, and pages without. */
  readonly isolated: Site
  readonly plain: Site
  /** The model that ships, in Node. */
  readonly node: TextModel
}

/** A page over @parscale/core/web on two hosts, and the model that ships in Node, for the tests of a block. @param spy as bundlePage's */
export function webPages(mounts: Readonly<Record<string, string>>, spy?: string): WebPages {
  const pages = {} as { -readonly [Key in keyof WebPages]: WebPages[Key] }
  let folder: string
  beforeAll(async () => {
    folder = await bundlePage(pageProgram, spy)
    pages.isolated = await serveSite(folder, mounts, { isolated: true })
    pages.plain = await serveSite(folder, mounts, { isolated: false })
    pages.browser = await launch()
    pages.node = await loadTextModel(undefined, { threads: 1, engine: 'onnx' })
  })
  afterAll(async () => {
    await pages.browser?.close()
    await Promise.all([pages.isolated?.close(), pages.plain?.close(), pages.node?.dispose()])
    removeFolder(folder)
  })
  return pages
}
