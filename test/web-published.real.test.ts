/** The package as it is published, in a page that Vite builds: its worker starts without anything that names it. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { loadTextModel } from 'parscale'
import { build } from 'vite'
import { afterAll, describe, expect, it } from 'vitest'
import { stage } from '../scripts/release/stage.mjs'
import { launch, noBrowser, openPage, removeFolder, serveSite } from './support/browser.ts'
import { root } from './support/markdown.ts'
import type { PageGlobals } from './support/web-page.ts'

describe.skipIf(noBrowser)('the published package in Chromium', () => {
  // Below the clone, where the packages that it needs are found.
  mkdirSync(join(root, '.cache'), { recursive: true })
  const folder = mkdtempSync(join(root, '.cache/published-'))
  afterAll(() => removeFolder(folder))

  it('starts its worker where Vite puts it, and does what Node does', async () => {
    await stage('core', join(folder, 'node_modules/@parscale'))
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
    writeFileSync(
      join(folder, 'page.js'),
      `import * as web from '@parscale/core/web'\nObject.assign(globalThis, { web, ready: true })\n`,
    )
    await build({
      ...{ root: folder, configFile: false, logLevel: 'error', worker: { format: 'es' } },
      build: {
        outDir: 'site',
        // A page's policy lets no data: URL run as a worker.
        assetsInlineLimit: 0,
        rollupOptions: { input: join(folder, 'page.js'), output: { entryFileNames: 'page.js' } },
      },
    })
    const site = await serveSite(
      join(folder, 'site'),
      { '/models/small/': join(root, 'packages/parscale/models/small') },
      { isolated: true },
    )
    const browser = await launch()
    try {
      const { page, errors } = await openPage(browser, site)
      const loaded = await page.evaluate(async () => {
        const globals = globalThis as unknown as PageGlobals
        globals.model = await globals.web.loadInBrowser({ source: { url: '/models/small/' }, device: 'wasm', threads: 2 })
        const { text } = await globals.model.generate('My fellow citizens', { p: 8, maxTokens: 10, temperature: 0 })
        return { text, info: globals.model.info }
      })
      const node = await loadTextModel(undefined, { threads: 1, engine: 'onnx' })
      const { text } = await node.generate('My fellow citizens', { p: 8, maxTokens: 10, temperature: 0 })
      await node.dispose()
      expect(loaded).toMatchObject({ text, info: { backend: 'wasm', threads: 2, selfTest: 'known tokens', notes: [] } })
      expect(page.workers().map((worker) => worker.url())).toEqual(
        expect.arrayContaining([expect.stringMatching(/\/assets\/worker-[\w-]+\.js$/)]),
      )
      expect(site.requests).not.toContain('/ort/ort-wasm-simd-threaded.wasm')
      expect(errors).toEqual([])
    } finally {
      await browser.close()
      await site.close()
    }
  })
})
