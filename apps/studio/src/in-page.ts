import { loadInBrowser } from '@parscale/core/web'
export const x = (url: string) =>
  loadInBrowser({
    source: { url },
    worker: () => new Worker(new URL('./page-worker.ts', import.meta.url), { type: 'module', name: 'parscale' }),
  })
