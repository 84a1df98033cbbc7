/** Builds the page into the package that people install. Relative addresses, so that any web host and folder will do. */
import { fileURLToPath } from 'node:url'
import preact from '@preact/preset-vite'
import { defineConfig } from 'vite'

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  plugins: [preact()],
  resolve: { conditions: ['source', 'module', 'browser', 'development|production'] },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    outDir: fileURLToPath(new URL('../../packages/parscale/dist/studio-page', import.meta.url)),
    emptyOutDir: true,
    modulePreload: { polyfill: false },
    // A data: address would be one more thing for the content policy to allow.
    assetsInlineLimit: 0,
  },
})
