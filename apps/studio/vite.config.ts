/** Builds the page into the package that people install. Relative addresses, so that any web host and folder will do. */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import preact from '@preact/preset-vite'
import { defineConfig, type Plugin } from 'vite'
import { firstPaint } from './first-paint.ts'

const outDir = fileURLToPath(new URL('../../packages/parscale/dist/studio-page', import.meta.url))

/** onnxruntime-web's three modules have 58 MB, and 15 MB compressed, which is how they are published and sent. */
const packedRuntime: Plugin = {
  name: 'packed-runtime',
  apply: 'build',
  async closeBundle() {
    const assets = join(outDir, 'assets')
    const modules = (await readdir(assets)).filter((file) => file.endsWith('.wasm'))
    await Promise.all(
      modules.map(async (file) => {
        await writeFile(join(assets, `${file}.gz`), await promisify(gzip)(await readFile(join(assets, file))))
        await rm(join(assets, file))
      }),
    )
  },
}

/**
 * The page starts a worker and never runs a model in its own thread: what `loadInBrowser` would need for that stays out of the page.
 * The worker's own build has it.
 */
const modelsInWorkers: Plugin = {
  name: 'models-in-workers',
  apply: 'build',
  enforce: 'pre',
  resolveId: (id, importer) =>
    importer?.endsWith('/web/load.ts') && id.endsWith('/local-model.ts') ? '\0in-workers' : undefined,
  load: (id) =>
    id === '\0in-workers' ? `export const loadHere = () => Promise.reject(new Error('models run in workers'))` : undefined,
}

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  plugins: [preact(), modelsInWorkers, packedRuntime, firstPaint(outDir)],
  resolve: { conditions: ['source', 'module', 'browser', 'development|production'] },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    outDir,
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    // A data: address would be one more thing for the content policy to allow.
    assetsInlineLimit: 0,
    // Only the runtime's modules are larger, and they come when they are asked for.
    chunkSizeWarningLimit: 1000,
    // How long plugins take is nothing that somebody who starts the studio has to know.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
})
